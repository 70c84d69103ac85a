"""The configuration as the rest of the program sees it: immutable, complete, checked.

Built only by `ferrite.io.config.load_config`; whoever holds a `Config` may trust it. Times are milliseconds, sizes
bytes, except `block_cache_size` and `write_buffer_size`, which are MB (2**20 bytes). What each key does, its default
and its range stand in `ferrite.io.config.table`; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ferrite.io.config.address import Address
from ferrite.io.config.problem import Source

CompactionStrategy: TypeAlias = Literal["level", "universal"]
GrpcEngine: TypeAlias = Literal["ngh2", "grpcio"]
AutoCompactionMode: TypeAlias = Literal["off", "revisions", "age"]
LogLevel: TypeAlias = Literal["trace", "debug", "info", "warn", "error"]
LogFormat: TypeAlias = Literal["json", "pretty", "compact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Who this node is. The advertised addresses are always set and never a wildcard."""

    id: int
    http_addr: Address
    grpc_addr: Address
    data_dir: Path  # absolute
    name: str
    description: str
    advertise_http_addr: Address
    advertise_grpc_addr: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Talking to clients and peers."""

    request_timeout: int
    connect_timeout: int
    keep_alive_interval: int
    max_retries: int
    retry_delay: int
    enable_compression: bool
    max_message_size: int
    grpc_engine: GrpcEngine
    watch_progress_interval: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """The Raft log and the state on disk."""

    enable_compression: bool
    compaction_strategy: CompactionStrategy
    max_log_size: int
    log_retention_count: int  # < raft.compaction_threshold when compaction is on
    enable_wal: bool
    sync_writes: bool
    block_cache_size: int  # MB
    write_buffer_size: int  # MB
    quota_bytes: int  # 0: none
    auto_compaction_mode: AutoCompactionMode
    auto_compaction_retention: int  # revisions or ms; > 0 unless the mode is off


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPolicyConfig:
    """When the state is flushed, so that the log can be cut below it."""

    enable_auto_snapshot: bool
    entries_since_last_snapshot: int
    snapshot_interval: int  # 0: never by time


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftConfig:
    """Consensus. 5 * heartbeat_interval <= election_timeout_min < election_timeout_max."""

    heartbeat_interval: int
    election_timeout_min: int
    election_timeout_max: int
    max_append_entries: int
    enable_auto_compaction: bool
    compaction_threshold: int
    max_inflight_requests: int
    snapshot_policy: SnapshotPolicyConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """Logs. `module_levels` is what the environment variable FERRITE_LOG says, in its order."""

    level: LogLevel
    format: LogFormat
    structured: bool
    file_path: Path | None  # absolute; None: stderr
    max_file_size: int
    max_files: int
    enable_colors: bool
    module_levels: tuple[tuple[str, LogLevel], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """One node of the cluster, perhaps this one."""

    id: int
    http_addr: Address
    grpc_addr: Address
    priority: int  # 0..100
    voting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """The cluster as it is meant to be. `peers` is ordered by id; when not empty, this node is among them."""

    name: str
    expected_size: int  # 0: not checked
    peers: tuple[PeerConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfig:
    """Without TLS and authentication there is one question: whether that is meant."""

    allow_insecure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What clients may use. key + value <= request < max_message_size, and request <= pending."""

    request_bytes_max: int
    key_bytes_max: int
    value_bytes_max: int
    batch_operations_max: int
    pending_requests_max: int
    pending_bytes_max: int
    held_bytes_max: int
    connections_max: int
    connections_per_ip_max: int
    header_timeout: int
    body_timeout: int
    idle_timeout: int
    list_keys_max: int
    list_bytes_max: int
    concurrent_rpcs_max: int
    watches_max: int
    watch_queue_bytes_max: int
    watches_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that `ferrite-server` was told. `sources` names who set each key that somebody set, by dotted path;
    `changed` has the value, as TOML writes it, of those that are not at their default.
    """

    node: NodeConfig
    network: NetworkConfig
    storage: StorageConfig
    raft: RaftConfig
    logging: LoggingConfig
    cluster: ClusterConfig
    security: SecurityConfig
    limits: LimitsConfig
    sources: Mapping[str, Source] = field(compare=False, repr=False)
    changed: Mapping[str, str] = field(compare=False, repr=False)

    def warnings(self) -> list[str]:
        """What is allowed but dangerous or doubtful, one sentence or two each, the most dangerous first."""
        return [*self._dangers(), *self._doubts()]

    def _dangers(self) -> list[str]:
        found = []
        if not self.storage.sync_writes:
            found.append(
                "storage.sync_writes = false: a write is acknowledged before it is on disk. A power failure or a "
                "crash of the machine LOSES ACKNOWLEDGED WRITES."
            )
        exposed = [
            f"{name} {address}"
            for name, address in (("HTTP", self.node.http_addr), ("gRPC", self.node.grpc_addr))
            if not address.is_loopback
        ]
        if exposed:  # only possible with security.allow_insecure
            found.append(
                f"security.allow_insecure = true: {' and '.join(exposed)} can be reached from other machines, nothing "
                "is encrypted and nobody is asked who they are. WHOEVER REACHES THE PORT OWNS THE DATA."
            )
        return found

    def _doubts(self) -> list[str]:
        found = []
        voters = sum(peer.voting for peer in self.cluster.peers)
        if voters and voters % 2 == 0:
            found.append(
                f"cluster.peers: {voters} voters survive no more failures than {voters - 1}. Make their number odd."
            )
        if self.cluster.expected_size > 1 and not self.cluster.peers:
            found.append(
                f"cluster.expected_size = {self.cluster.expected_size} but no peers are listed: until others are added "
                "with /add-learner and /change-membership this node alone holds the data."
            )
        if self.network.request_timeout <= self.raft.election_timeout_max:
            found.append(
                f"network.request_timeout = {self.network.request_timeout} is not above raft.election_timeout_max = "
                f"{self.raft.election_timeout_max}: a request will not survive the election of a new leader."
            )
        others = [peer for peer in self.cluster.peers if peer.id != self.node.id]
        if self.node.advertise_grpc_addr.is_loopback and any(
            not peer.grpc_addr.is_loopback for peer in others
        ):
            found.append(
                f"node.advertise_grpc_addr = {self.node.advertise_grpc_addr} is loopback, but peers are on other "
                "machines: they cannot reach this node."
            )
        return found
