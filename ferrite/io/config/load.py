"""From files, environment and options to a `Config`, or to everything that is wrong with them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ferrite.io.config.keys import Key
from ferrite.io.config.log_filter import parse_log_filter
from ferrite.io.config.model import (
    ClusterConfig,
    Config,
    LimitsConfig,
    LoggingConfig,
    NetworkConfig,
    NodeConfig,
    PeerConfig,
    RaftConfig,
    SecurityConfig,
    SnapshotPolicyConfig,
    StorageConfig,
)
from ferrite.io.config.problem import ConfigError, ProblemList, TooManyProblems
from ferrite.io.config.resolve import Resolved
from ferrite.io.config.rules import check_rules
from ferrite.io.config.sources import (
    LOG_FILTER_VARIABLE,
    Override,
    check_peer_tables,
    read_environment,
    read_file,
    read_overrides,
)
from ferrite.io.config.table import KEYS
from ferrite.io.config.values import resolve_path


def load_config(
    path: Path | None,
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
    overrides: Iterable[Override] = (),
    working_dir: Path | None = None,
) -> Config:
    """The configuration: overrides before environment before the file at `path` before defaults.

    Relative paths in it start at `working_dir` (default: the process's). Raises `ConfigError` with all that is wrong:
    every value of every source is checked, also one that a stronger source replaces.
    """
    base = Path.cwd() if working_dir is None else working_dir
    resolved = Resolved(ProblemList())
    problems = resolved.problems
    try:
        file = [] if path is None else read_file(path, base, problems)
        check_peer_tables(file, problems)
        layers = [file, read_environment(environment, problems), read_overrides(overrides, problems)]
        module_levels = parse_log_filter(environment.get(LOG_FILTER_VARIABLE, ""), problems)
        resolved.merge(layers, base)
        check_rules(resolved)
    except TooManyProblems:
        raise ConfigError(problems.found) from None
    if problems.found:
        raise ConfigError(problems.found)
    return _build(resolved, base, module_levels)


def _build(resolved: Resolved, base: Path, module_levels: Any) -> Config:
    def section(name: str) -> dict[str, Any]:
        """The values of one section by field name. A test proves that names and types are those of the dataclass."""
        return {key.name: resolved.value(_at(key, name)) for key in KEYS if key.supported and _in(key, name)}

    node, logging = section("node"), section("logging")
    node["data_dir"] = resolve_path(node["data_dir"], base)
    node["name"] = node["name"] or f"node-{node['id']}"
    for face in ("http", "grpc"):
        node[f"advertise_{face}_addr"] = node[f"advertise_{face}_addr"] or node[f"{face}_addr"]
    logging["file_path"] = resolve_path(logging["file_path"], base) if logging["file_path"] else None
    peers = tuple(PeerConfig(id=id_, **section(f"cluster.peers.{id_}")) for id_ in resolved.peer_ids)
    return Config(
        node=NodeConfig(**node),
        network=NetworkConfig(**section("network")),
        storage=StorageConfig(**section("storage")),
        raft=RaftConfig(
            **section("raft"), snapshot_policy=SnapshotPolicyConfig(**section("raft.snapshot_policy"))
        ),
        logging=LoggingConfig(**logging, module_levels=module_levels),
        cluster=ClusterConfig(**section("cluster"), peers=peers),
        security=SecurityConfig(**section("security")),
        limits=LimitsConfig(**section("limits")),
        sources=MappingProxyType(resolved.sources()),
        changed=MappingProxyType(resolved.changed()),
    )


def _in(key: Key, section: str) -> bool:
    return key.section == section or (
        key.section == "cluster.peers.N" and section.startswith("cluster.peers.")
    )


def _at(key: Key, section: str) -> str:
    return f"{section}.{key.name}"
