"""`ferrite-grpc-client-test` as a user runs it, against a server on loopback."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ferrite.core.kv import ListKeys, ListKeysResult, Operation, Session
from ferrite.io.cli.grpc_client_test import main
from ferrite.io.grpc.handlers import RaftHandlers, client_methods, peer_methods
from ferrite.io.grpc.status import RpcError, StatusCode
from ferrite.io.request_path import Answered, MemberAddress, NodeStatus, RequestRefused
from tests.io.grpc.fakes import IDENTITY, STATUS, FakeRequestPath, NoFrames, make_config, serving
from tests.io.grpc.machine_path import MachinePath


class _RefusesFrames:
    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        async for _ in frames:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "no frame")


class _NodeLikePath(MachinePath):
    """Refuses a second initialization, as a node does."""

    async def initialize(
        self, members: Sequence[MemberAddress] | None, *, timeout_ms: int | None = None
    ) -> NodeStatus:
        if self.node_status.initialized:
            raise RequestRefused("already_initialized", "this node belongs to a cluster")
        self.node_status = replace(self.node_status, initialized=True)
        return self.node_status


async def _run(path: FakeRequestPath, *arguments: str) -> tuple[int, str]:
    """Run the command against a server with this path; returns exit code and output."""
    async with serving(path=path, receiver=_RefusesFrames()) as served:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ferrite.io.cli.grpc_client_test",
            "--addr",
            f"127.0.0.1:{served.port}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_good_node_passes_every_rpc_and_keeps_nothing_of_it() -> None:
    path = _NodeLikePath(node_status=replace(STATUS, applied_index=12))
    code, output = await _run(path)
    assert code == 0, output
    assert "30 passed, 0 failed" in output
    assert "FAIL" not in output
    assert "\x1b" not in output  # colours are for terminals
    methods = (
        *client_methods(path, make_config()),
        *peer_methods(RaftHandlers(NoFrames(), lambda: IDENTITY)),
    )
    for method in methods:
        assert method.path[1:] in output, "every RPC that exists is called"
    left = path.machine.machine.read(ListKeys())
    assert isinstance(left, ListKeysResult)
    assert left.entries == ()
    changes = {name for name, _, _ in path.calls} & {"add_learner", "change_membership", "transfer_leader"}
    assert changes == set()


async def test_with_leave_to_change_the_levers_are_pulled() -> None:
    path = _NodeLikePath(node_status=replace(STATUS, initialized=True))
    code, output = await _run(path, "--allow-changes")
    assert code == 0, output
    calls = {name: argument for name, argument, _ in path.calls}
    assert calls["change_membership"] == (1, 2)
    assert calls["transfer_leader"] == 0
    assert "add_learner" not in calls


async def test_a_node_without_a_cluster_is_left_alone_and_fails() -> None:
    class Uninitialized(_NodeLikePath):
        async def write(
            self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
        ) -> Answered:
            raise RequestRefused("not_initialized", "no cluster yet")

    path = Uninitialized(node_status=replace(STATUS, initialized=False, leader_id=0, leader_grpc_addr=""))
    code, output = await _run(path)
    assert code == 1
    assert "not initialized: call Initialize" in output
    assert "FAILED_PRECONDITION (not_initialized): no cluster yet" in output
    assert not path.node_status.initialized


async def test_a_wrong_answer_is_a_failure_that_says_what_came() -> None:
    class Forgetful(_NodeLikePath):
        async def write(
            self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
        ) -> Answered:
            return await _NodeLikePath.write(self, operation, timeout_ms=timeout_ms)

    code, output = await _run(Forgetful())
    assert code == 1
    assert "the same request again happened at 3, not 2" in output
    assert "27 passed, 3 failed" in output


def test_nobody_at_the_address_is_exit_code_two() -> None:
    found = CliRunner().invoke(main, ["--addr", "127.0.0.1:1", "--timeout", "200"])
    assert found.exit_code == 2
    assert "no gRPC server answers at 127.0.0.1:1 within 200 ms" in found.output


@pytest.mark.parametrize("arguments", [["--addr", "nowhere"], ["--timeout", "0"], ["--unknown"], ["extra"]])
def test_wrong_usage_is_exit_code_two(arguments: list[str]) -> None:
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2
    assert "Usage:" in found.output


def test_help_teaches_without_loading_grpc() -> None:
    program = (
        "import sys\n"
        "from ferrite.io.cli.grpc_client_test import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "assert 'grpc' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for word in ("127.0.0.1:9001", "--allow-changes", "Exit codes: 0"):
        assert word in done.stdout
