"""Loading text as a configuration, for the tests of the configuration."""

from collections.abc import Mapping
from pathlib import Path

from ferrite.io.config import Config, ConfigError, Override, Problem, load_config

PEERS_OF_THREE = """
[cluster.peers.1]
http_addr = "127.0.0.1:8001"
grpc_addr = "127.0.0.1:9001"
[cluster.peers.2]
http_addr = "127.0.0.1:8002"
grpc_addr = "127.0.0.1:9002"
[cluster.peers.3]
http_addr = "127.0.0.1:8003"
grpc_addr = "127.0.0.1:9003"
"""


def load(
    directory: Path,
    text: str | bytes = "",
    *,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Config:
    """The configuration of a file `ferrite.toml` with `text` in `directory`."""
    (directory / "ferrite.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    overrides = [Override(key=key, text=value, option="--set") for key, value in (options or {}).items()]
    return load_config(
        Path("ferrite.toml"), environment=environment or {}, overrides=overrides, working_dir=directory
    )


def problems(
    directory: Path,
    text: str | bytes = "",
    *,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> tuple[Problem, ...]:
    """What is wrong with such a file; empty when nothing is."""
    try:
        load(directory, text, environment=environment, options=options)
    except ConfigError as error:
        return error.problems
    return ()


def the_problem(directory: Path, text: str | bytes = "", **more: Mapping[str, str]) -> Problem:
    """The one thing that is wrong."""
    found = problems(directory, text, **more)
    assert len(found) == 1, found
    return found[0]
