"""The generated modules are what the generator makes of proto/ today."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "ferrite" / "io" / "grpc" / "pb"


def test_the_committed_modules_are_what_the_generator_writes(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed (scripts/setup-venv.sh --dev)")
    subprocess.run(
        [ROOT / "scripts" / "generate-proto.sh", tmp_path],
        check=True,
        timeout=100,
        env={"PATH": "/usr/bin:/bin", "FERRITE_PYTHON": sys.executable},
    )
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in COMMITTED.glob("*_pb2.py*")}
    assert sorted(written) == sorted(committed), "run scripts/generate-proto.sh"
    for name, text in written.items():
        assert text == committed[name], f"{name} differs: run scripts/generate-proto.sh"


def test_every_proto_file_has_its_module() -> None:
    assert {path.stem for path in (ROOT / "proto").glob("*.proto")} == {
        path.stem.removesuffix("_pb2") for path in COMMITTED.glob("*_pb2.py")
    }
