"""The services as data: complete, and free of any engine."""

import os
import subprocess
import sys

import pytest

from ferrite.io.grpc.handlers import RaftHandlers, client_methods, peer_methods
from ferrite.io.grpc.service import snake_case
from tests.io.grpc.fakes import IDENTITY, FakeRequestPath, NoFrames, make_config


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
    ["ferrite.io.grpc.server", "ferrite.io.transport", "ferrite.io.identify", "ferrite.io.grpc.exercise"],
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
            for rpc in ("Set", "Get", "Delete", "BatchSet", "ListKeys", "Exists")
        ),
        *(
            f"/ferrite.management.ManagementService/{rpc}"
            for rpc in (
                "Initialize",
                "AddLearner",
                "ChangeMembership",
                "TransferLeader",
                "GetMetrics",
                "HealthCheck",
                "GetLeader",
            )
        ),
        "/ferrite.raft.RaftService/Connect",
        "/ferrite.raft.RaftService/Identify",
    ]
    assert [method.path for method in peer if method.client_streaming] == [
        "/ferrite.raft.RaftService/Connect"
    ]


def test_rpc_names_become_method_names() -> None:
    assert [snake_case(name) for name in ("Set", "BatchSet", "GetMetrics")] == [
        "set",
        "batch_set",
        "get_metrics",
    ]
