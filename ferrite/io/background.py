"""Worker threads of a node: what takes long and must not hold the loop. One thread per kind of work, each in order.

- `state`: flush, received snapshot chunks, install. One thread, because an install must see every chunk, and never a flush.
- `save`: builds a snapshot, which may take minutes.
- `send`: reads pieces of saved snapshots.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ferrite.core import events
from ferrite.io.organs import PostEvents

Job = Callable[[], events.Event | None]
Failed = Callable[[Exception], events.Event]


class Worker:
    """One thread, made at the first job."""

    def __init__(self, name: str, post: PostEvents) -> None:
        """`post` takes the events that jobs return, from the worker's thread."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"ferrite-{name}")
        self._post = post

    def submit(self, job: Job, failed: Failed) -> None:
        """Run `job` after the ones before it. Its event, or what `failed` makes of its exception, goes to the node."""
        self._executor.submit(self._run, job, failed)

    def _run(self, job: Job, failed: Failed) -> None:
        try:
            event = job()
        except Exception as error:  # noqa: BLE001 - RocksDB raises bare exceptions; `failed` turns each into a fact
            event = failed(error)
        if event is not None:
            self._post([event])

    def close(self) -> None:
        """Drop what has not begun, wait for what has."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Background:
    """The three workers of a node."""

    def __init__(self, post: PostEvents) -> None:
        """No thread runs before its first job."""
        self.state = Worker("state", post)
        self.save = Worker("save", post)
        self.send = Worker("send", post)

    def close(self) -> None:
        """Wait for running jobs."""
        for worker in (self.send, self.save, self.state):
            worker.close()
