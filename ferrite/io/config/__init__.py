"""Configuration: TOML file, environment and options, strictly checked. See docs/configuration.md.

    config = load_config(find_file(home, cwd), environment=os.environ, overrides=[Override(...)])

gives an immutable `Config`, or raises `ConfigError` with every problem at once.
"""

from ferrite.io.config.address import Address, AddressError, parse_address
from ferrite.io.config.keys import NODE_ID_MAX, PEERS_MAX
from ferrite.io.config.load import load_config
from ferrite.io.config.model import (
    ClusterConfig,
    Config,
    LimitsConfig,
    LoggingConfig,
    LogLevel,
    NetworkConfig,
    NodeConfig,
    PeerConfig,
    RaftConfig,
    SecurityConfig,
    SnapshotPolicyConfig,
    StorageConfig,
)
from ferrite.io.config.problem import ConfigError, Problem, Source
from ferrite.io.config.render import render_file, render_key_tables
from ferrite.io.config.sources import Override, find_file, search_paths

__all__ = [
    "NODE_ID_MAX",
    "PEERS_MAX",
    "Address",
    "AddressError",
    "ClusterConfig",
    "Config",
    "ConfigError",
    "LimitsConfig",
    "LogLevel",
    "LoggingConfig",
    "NetworkConfig",
    "NodeConfig",
    "Override",
    "PeerConfig",
    "Problem",
    "RaftConfig",
    "SecurityConfig",
    "SnapshotPolicyConfig",
    "Source",
    "StorageConfig",
    "find_file",
    "load_config",
    "parse_address",
    "render_file",
    "render_key_tables",
    "search_paths",
]
