"""A headless Chromium, driven over its DevTools protocol on loopback. One process for all tests of a module."""

import asyncio
import base64
import shutil
import subprocess
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_S = 30
"""For anything the browser does; it starts in about a second."""

T = TypeVar("T")


def find_browser() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """Open pages with `load`, look into them with `evaluate`. Collects what went wrong and what was asked of the network."""

    def __init__(self, program: str, profile: Path, *, width: int = 1280, height: int = 800) -> None:
        self._loop = asyncio.new_event_loop()
        self._profile = profile
        self._process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",  # a browser run by root, as in CI, has none
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--window-size={width},{height}",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._command = 0
        self._session_id = ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        try:
            self._run(self._connect())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(work, WAIT_S))

    async def _connect(self) -> None:
        port_file = self._profile / "DevToolsActivePort"
        while not (port_file.exists() and len(port_file.read_text().splitlines()) == 2):
            assert self._process.poll() is None, "the browser ended at once"
            await asyncio.sleep(0.05)
        port, path = port_file.read_text().splitlines()
        self._client = aiohttp.ClientSession()
        self._socket = await self._client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0)
        target = (await self._ask("Target.createTarget", url="about:blank"))["targetId"]
        self._session_id = (await self._ask("Target.attachToTarget", targetId=target, flatten=True))[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._ask(f"{domain}.enable")

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._command += 1
        order: dict[str, Any] = {"id": self._command, "method": method, "params": params}
        if self._session_id:
            order["sessionId"] = self._session_id
        await self._socket.send_json(order)
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._command:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case _:
                pass

    def load(self, page: Path) -> None:
        """Open a file and wait until its timeline is ready."""
        self.errors.clear()
        self.requests.clear()
        self._run(self._ask("Page.navigate", url=page.as_uri()))
        deadline = time.monotonic() + WAIT_S
        while not self.evaluate("document.readyState === 'complete' && Boolean(window.timeline?.ready)"):
            assert time.monotonic() < deadline, f"the page never became ready: {self.errors}"
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON; a promise is awaited. What it throws fails the test."""
        answer = self._run(
            self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as a keyboard would."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self._run(self._ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text))
        self._run(self._ask("Input.dispatchKeyEvent", type="keyUp", key=key))

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """`kind`: mouseMoved, mousePressed, mouseReleased, mouseWheel."""
        self._run(self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more))

    def dark(self, *, on: bool) -> None:
        """What the system's preference looks like to the page."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self._run(self._ask("Emulation.setEmulatedMedia", features=features))

    def frame(self) -> None:
        """Wait until what changed is drawn."""
        self.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        )

    def screenshot(self, path: Path) -> None:
        """For people."""
        picture = self._run(self._ask("Page.captureScreenshot"))["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        """End the browser."""
        if hasattr(self, "_socket"):
            self._run(self._socket.close())
        if hasattr(self, "_client"):
            self._run(self._client.close())
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._loop.close()
