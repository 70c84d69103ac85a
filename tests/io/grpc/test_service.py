"""The services as data: complete, and free of any engine."""

import math
import os
import subprocess
import sys

import pytest

from ferrite.io.grpc.handlers import RaftHandlers, client_methods, peer_methods
from ferrite.io.grpc.service import snake_case, timeout_ms
from tests.io.grpc.fakes import IDENTITY, FakeRequestPath, NoFrames, make_config
from tests.io.grpc.streams import Context


def test_handlers_know_nothing_of_grpcio() -> None:
    program = (
        "import sys, ferrite.io.grpc.handlers; print([m for m in sys.modules if m.split('.')[0] == 'grpc'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "ferrite.io.grpc.grpcio_engine",
        "ferrite.io.transport",
        "ferrite.io.identify",
        "ferrite.io.grpc.exercise",
    ],
)
def test_grpcio_writes_nothing_of_its_own_to_stderr(module: str) -> None:
    # It reads the variable when it is imported: ours must come first, whatever a program imports.
    program = (
        "import sys, types\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        import os\n"
        "        assert name != 'grpc' or os.environ.get('GRPC_VERBOSITY') == 'NONE', 'grpcio came first'\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import {module}\n"
        "assert 'grpc' in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        timeout=60,
        env={name: text for name, text in os.environ.items() if name != "GRPC_VERBOSITY"},
    )


def test_the_methods_are_those_of_the_contract() -> None:
    client = client_methods(FakeRequestPath(), make_config())
    peer = peer_methods(RaftHandlers(NoFrames(), lambda: IDENTITY))
    assert [method.path for method in (*client, *peer)] == [
        *(
            f"/ferrite.kv.KvService/{rpc}"
            for rpc in (
                "Set",
                "Get",
                "Delete",
                "BatchSet",
                "ListKeys",
                "Exists",
                "Put",
                "Range",
                "DeleteRange",
                "Txn",
                "Compact",
                "LeaseGrant",
                "LeaseRevoke",
                "LeaseKeepAlive",
                "LeaseTimeToLive",
                "LeaseList",
                "Watch",
                "Pipeline",
            )
        ),
        *(
            f"/ferrite.management.ManagementService/{rpc}"
            for rpc in (
                "Initialize",
                "AddLearner",
                "ChangeMembership",
                "RemoveMember",
                "TransferLeader",
                "GetMetrics",
                "HealthCheck",
                "GetLeader",
                "Backup",
            )
        ),
        "/ferrite.raft.RaftService/Connect",
        "/ferrite.raft.RaftService/Identify",
    ]
    streaming = {
        method.path.rpartition("/")[2]: (method.client_streaming, method.server_streaming)
        for method in (*client, *peer)
        if method.client_streaming or method.server_streaming
    }
    assert streaming == {
        "Watch": (True, True),
        "Pipeline": (True, True),
        "Backup": (False, True),
        "Connect": (True, False),
    }


@pytest.mark.parametrize("meant_ms", [99, 500, 999, 1000, 1001, 2000, 5000, 12_345, 60_000, 600_000])
def test_the_server_ends_before_its_client_does_however_the_deadline_was_rounded(meant_ms: int) -> None:
    class Seen(Context):
        def remaining_ms(self) -> int | None:
            return math.ceil((meant_ms + 1) * 1.01 * 1.03)

    allowed_ms = timeout_ms(Seen(), 10**9)
    assert allowed_ms is not None
    assert meant_ms * 0.8 <= allowed_ms <= meant_ms


def test_rpc_names_become_method_names() -> None:
    assert [snake_case(name) for name in ("Set", "BatchSet", "GetMetrics")] == [
        "set",
        "batch_set",
        "get_metrics",
    ]
