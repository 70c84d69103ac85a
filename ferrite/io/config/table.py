"""The table of every configuration key: the one source for parsing, validation, generated files, options and
documentation.

A key whose feature does not exist yet stands here with the reason, so that it is refused by name instead of being
accepted and ignored. Each number has a closed range: `nan`, negative retention and other surprises fall outside it.
"""

from typing import get_args

from ferrite.io.config.keys import NODE_ID_MAX, Key, Kind, absent_key, bool_key, int_key
from ferrite.io.config.model import AutoCompactionMode, CompactionStrategy, GrpcEngine, LogFormat, LogLevel

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
RETENTION_MAX = 10**12  # 30 years in ms

_NO_TLS = "TLS does not exist in this version"
_NO_AUTH = "authentication does not exist in this version"
_NO_AUTO_JOIN = "nodes do not join by themselves in this version; use /add-learner and /change-membership"
_NO_DISCOVERY = "peers are not discovered in this version; list them under cluster.peers"

_NODE = (
    int_key(
        "node.id", 1, 1, NODE_ID_MAX, "",
        "Number of this node, unique in the cluster. It belongs to the data directory for ever and is never used again.",
    ),
    Key(
        path="node.http_addr", kind=Kind.ADDRESS, default="127.0.0.1:8001",
        doc="Address on which HTTP is served. Anything but loopback needs security.allow_insecure.",
    ),
    Key(
        path="node.grpc_addr", kind=Kind.ADDRESS, default="127.0.0.1:9001",
        doc="Address on which gRPC is served, to clients and to the other nodes.",
    ),
    Key(
        path="node.data_dir", kind=Kind.DIRECTORY, default="./data/node",
        doc="Directory of the Raft log and the state, made when missing. A relative path starts at the working directory.",
    ),
    Key(
        path="node.name", kind=Kind.NAME, characters_max=64, default_text="node-<id>",
        doc="Name of this node for people: in health, metrics and the log's first lines.",
    ),
    Key(
        path="node.description", kind=Kind.TEXT, characters_max=1024, default="",
        doc="Free text about this node, shown in health.",
    ),
    Key(
        path="node.advertise_http_addr", kind=Kind.ADDRESS, default_text="http_addr",
        doc="Address under which others reach http_addr. Needed when http_addr binds 0.0.0.0 or [::].",
    ),
    Key(
        path="node.advertise_grpc_addr", kind=Kind.ADDRESS, default_text="grpc_addr",
        doc="Address under which others reach grpc_addr. Needed when grpc_addr binds 0.0.0.0 or [::].",
    ),
    absent_key("node.peer_addr", Kind.ADDRESS, "nodes talk to each other over grpc_addr", off=""),
    absent_key("node.metrics_addr", Kind.ADDRESS, "metrics are served on http_addr", off=""),
)  # fmt: skip

_NETWORK = (
    int_key(
        "network.request_timeout", 5 * SECOND, 100, HOUR, "ms",
        "Longest time that a client's request may take. After it the outcome of a write is unknown.",
    ),
    int_key("network.connect_timeout", 2 * SECOND, 50, MINUTE, "ms", "Longest time that dialing a peer may take."),
    int_key(
        "network.keep_alive_interval", 10 * SECOND, SECOND, HOUR, "ms",
        "Time between gRPC keep-alive pings to a peer, which find a dead connection that carries no traffic.",
    ),
    int_key(
        "network.max_retries", 3, 0, 100, "",
        "How often a call to an address is repeated when it fails: asking a node who it is, at init and add-learner.",
    ),
    int_key(
        "network.retry_delay", 100, 1, MINUTE, "ms",
        "Pause before such a call is repeated, and before the first new attempt to reach a lost peer.",
    ),
    bool_key(
        "network.enable_compression", default=False,
        doc="Compress the streams between nodes with gzip: less traffic for more CPU.",
    ),
    int_key(
        "network.max_message_size", 4 * MIB, 2 * MIB, 64 * MIB, "bytes",
        "Largest gRPC message, from a client or a peer.",
    ),
    Key(
        path="network.grpc_engine", kind=Kind.CHOICE, default="ngh2", choices=get_args(GrpcEngine),
        doc="What serves gRPC: ngh2 (libnghttp2, many times faster) or grpcio (the reference implementation).",
    ),
    int_key(
        "network.watch_progress_interval", 30 * SECOND, 100, HOUR, "ms",
        "Silence after which a watch that wants progress notifications gets one, at most twice as long.",
    ),
)  # fmt: skip

_STORAGE = (
    bool_key("storage.enable_compression", default=True, doc="Compress the state on disk with LZ4."),
    Key(
        path="storage.compaction_strategy", kind=Kind.CHOICE, default="level", choices=get_args(CompactionStrategy),
        refused_choices={"fifo": "RocksDB's FIFO compaction deletes the oldest data when space runs out"},
        doc="How RocksDB merges its files: level (less space) or universal (fewer writes). fifo is refused.",
    ),
    int_key(
        "storage.max_log_size", 512 * MIB, MIB, 1024 * GIB, "bytes",
        "Size of the Raft log on disk that forces a flush of the state and a cut of the log.",
    ),
    int_key(
        "storage.log_retention_count", 5000, 0, 100_000_000, "entries",
        "Entries kept in the log although the flushed state covers them, so that a slow peer needs no snapshot.",
    ),
    bool_key(
        "storage.enable_wal", default=True,
        doc="Let RocksDB keep a WAL of its own for the state. false: after a crash the state is rebuilt from the Raft log.",
    ),
    bool_key(
        "storage.sync_writes", default=True,
        doc="fsync the log before a write is acknowledged. false loses acknowledged writes when power fails.",
    ),
    int_key("storage.block_cache_size", 32, 1, 64 * KIB, "MB", "Memory for blocks of the state that were read."),
    int_key("storage.write_buffer_size", 16, 1, 4 * KIB, "MB", "Memory for new state before it is written to a file."),
    # The default is etcd's: so much, history included, is sent to a new member as one snapshot in about a minute.
    int_key(
        "storage.quota_bytes", 2 * GIB, 0, 1024 * GIB, "bytes",
        "Space for keys and their history, above which puts are refused until 90 % are enough. 0: none. The leader's counts.",
    ),
    # etcd's default is off, and a busy store then ends at its quota. So many revisions of 1 KiB are half of the quota, and a
    # quarter of an hour at 1,000 writes per second for a watcher to come back. An age would bound no space.
    Key(
        path="storage.auto_compaction_mode", kind=Kind.CHOICE, default="revisions", choices=get_args(AutoCompactionMode),
        doc="Forget history by itself: off, by number of revisions, or by age. The leader's counts.",
    ),
    int_key(
        "storage.auto_compaction_retention", 1_000_000, 0, RETENTION_MAX, "revisions or ms",
        "History kept by storage.auto_compaction_mode: revisions, or milliseconds (always to be given with age).",
    ),
)  # fmt: skip

_RAFT = (
    int_key("raft.heartbeat_interval", 100, 10, MINUTE, "ms", "Time between two heartbeats of the leader."),
    int_key(
        "raft.election_timeout_min", 1000, 50, 10 * MINUTE, "ms",
        "Shortest silence of the leader after which a node campaigns. At least 5 heartbeats.",
    ),
    int_key(
        "raft.election_timeout_max", 2000, 51, 20 * MINUTE, "ms",
        "Longest silence of the leader after which a node campaigns; the real one is drawn between min and max.",
    ),
    int_key("raft.max_append_entries", 1024, 1, 100_000, "entries", "Most entries in one AppendEntries message."),
    bool_key(
        "raft.enable_auto_compaction", default=True,
        doc="Cut the log by itself above compaction_threshold. false: only storage.max_log_size cuts it.",
    ),
    int_key(
        "raft.compaction_threshold", 20_000, 1, 100_000_000, "entries",
        "Entries in the log above which it is cut after a flush of the state. Above storage.log_retention_count.",
    ),
    int_key(
        "raft.max_inflight_requests", 64, 1, 10_000, "messages",
        "Most AppendEntries messages to one peer that await their answer.",
    ),
    bool_key(
        "raft.snapshot_policy.enable_auto_snapshot", default=True,
        doc="Flush the state by itself, as the two keys below say. false: only storage.max_log_size flushes it.",
    ),
    int_key(
        "raft.snapshot_policy.entries_since_last_snapshot", 10_000, 1, 100_000_000, "entries",
        "Applied entries since the last flush of the state that order the next one.",
    ),
    int_key(
        "raft.snapshot_policy.snapshot_interval", 5 * MINUTE, 0, 24 * HOUR, "ms",
        "Time since the last flush that orders the next one when there is something to flush. 0: never by time.",
    ),
)  # fmt: skip

_LOGGING = (
    Key(
        path="logging.level", kind=Kind.CHOICE, default="info", choices=get_args(LogLevel),
        doc="Least severity that is logged. trace is debug, and debug of the libraries too.",
    ),
    Key(
        path="logging.format", kind=Kind.CHOICE, default="pretty", choices=get_args(LogFormat),
        doc="json (one object a line), pretty (columns, for people) or compact (short lines).",
    ),
    bool_key(
        "logging.structured", default=True,
        doc="Keep the fields of an event apart from its message. false folds them into the message's text.",
    ),
    Key(
        path="logging.file_path", kind=Kind.FILE, default="",
        doc="File that is logged to, instead of stderr. Its directory must exist.",
    ),
    int_key(
        "logging.max_file_size", 100 * MIB, 64 * KIB, 100 * GIB, "bytes",
        "Size at which the log file is put aside and a new one begun.",
    ),
    int_key("logging.max_files", 10, 2, 1000, "files", "Log files kept, the current one among them."),
    bool_key("logging.enable_colors", default=True, doc="Colours in the pretty format, when stderr is a terminal."),
)  # fmt: skip

_CLUSTER = (
    Key(
        path="cluster.name", kind=Kind.NAME, characters_max=64, default="ferrite",
        doc="Name of the cluster for people: in health, metrics and the log's first lines.",
    ),
    int_key(
        "cluster.expected_size", 0, 0, 63, "voters",
        "Voters that the cluster is meant to have; the peers listed must give that many. 0: not checked.",
    ),
    Key(
        path="cluster.peers.N.http_addr", kind=Kind.ADDRESS, required=True,
        doc="HTTP address of node N. Node N may be this node: then it must be the address that it advertises.",
    ),
    Key(
        path="cluster.peers.N.grpc_addr", kind=Kind.ADDRESS, required=True, doc="gRPC address of node N.",
    ),
    int_key(
        "cluster.peers.N.priority", 50, 0, 100, "",
        "Among equals, the voter with the higher priority tends to become leader.",
    ),
    bool_key("cluster.peers.N.voting", default=True, doc="false: node N is a learner, which follows without a vote."),
    absent_key("cluster.enable_auto_join", Kind.BOOL, _NO_AUTO_JOIN, off=False),
    absent_key("cluster.leader_discovery_timeout", Kind.INT, _NO_AUTO_JOIN),
    absent_key("cluster.auto_join_timeout", Kind.INT, _NO_AUTO_JOIN),
    absent_key("cluster.auto_join_retry_interval", Kind.INT, _NO_AUTO_JOIN),
    absent_key("cluster.auto_accept_learners", Kind.BOOL, _NO_AUTO_JOIN, off=False),
    absent_key("cluster.discovery.enabled", Kind.BOOL, _NO_DISCOVERY, off=False),
    absent_key("cluster.discovery.method", Kind.CHOICE, _NO_DISCOVERY, choices=("static", "dns", "file")),
    absent_key("cluster.discovery.interval", Kind.INT, _NO_DISCOVERY),
)  # fmt: skip

_SECURITY = (
    bool_key(
        "security.allow_insecure", default=False,
        doc="Serve on addresses that other machines reach although nothing is encrypted and nobody is asked who they are.",
    ),
    absent_key("security.enable_tls", Kind.BOOL, _NO_TLS, off=False),
    absent_key("security.cert_file", Kind.FILE, _NO_TLS, off=""),
    absent_key("security.key_file", Kind.FILE, _NO_TLS, off=""),
    absent_key("security.ca_file", Kind.FILE, _NO_TLS, off=""),
    absent_key("security.enable_mtls", Kind.BOOL, _NO_TLS, off=False),
    absent_key("security.accept_invalid_certs", Kind.BOOL, _NO_TLS, off=False),
    absent_key(
        "security.auth_method", Kind.CHOICE, _NO_AUTH, off="none",
        choices=("none", "token", "basic", "certificate", "jwt"),
    ),
)  # fmt: skip

_LIMITS = (
    int_key("limits.request_bytes_max", 1_572_864, 1 * KIB, 32 * MIB, "bytes", "Largest body of a request, decompressed."),
    int_key("limits.key_bytes_max", 4096, 16, 64 * KIB, "bytes", "Longest key."),
    int_key("limits.value_bytes_max", MIB, 16, 16 * MIB, "bytes", "Longest value."),
    int_key("limits.batch_operations_max", 128, 1, 10_000, "operations", "Most operations in one atomic batch."),
    int_key(
        "limits.pending_requests_max", 2000, 1, 1_000_000, "requests",
        "Writes and reads in progress on this node; more are refused before they are proposed.",
    ),
    int_key(
        "limits.pending_bytes_max", 64 * MIB, 64 * KIB, 16 * GIB, "bytes",
        "Bytes of the requests in progress on this node; more are refused before they are proposed.",
    ),
    int_key(
        "limits.held_bytes_max", 128 * MIB, 128 * KIB, 16 * GIB, "bytes",
        "Bytes held by HTTP of bodies coming in and answers not yet taken, those over 64 KiB; more are refused.",
    ),
    int_key("limits.connections_max", 10_000, 8, 1_000_000, "connections", "Open connections, to HTTP and to gRPC each."),
    int_key(
        "limits.connections_per_ip_max", 1000, 1, 1_000_000, "connections",
        "Open HTTP connections from one IP address.",
    ),
    int_key("limits.header_timeout", 10 * SECOND, 100, 10 * MINUTE, "ms", "Longest time until a request's headers are in."),
    int_key("limits.body_timeout", 30 * SECOND, 100, 10 * MINUTE, "ms", "Longest time until a body is in (HTTP)."),
    int_key("limits.idle_timeout", MINUTE, SECOND, 24 * HOUR, "ms", "Silence after which a client's connection is closed."),
    int_key("limits.list_keys_max", 10_000, 1, 1_000_000, "keys", "Most keys in one page of a listing."),
    int_key("limits.list_bytes_max", 4 * MIB, 64 * KIB, 64 * MIB, "bytes", "Most bytes of keys and values in one page."),
    int_key("limits.concurrent_rpcs_max", 1000, 8, 100_000, "RPCs", "gRPC calls in progress at the same time."),
    int_key("limits.watches_max", 10_000, 1, 1_000_000, "watches", "Watches on this node at the same time."),
    int_key(
        "limits.watch_queue_bytes_max", 4 * MIB, 64 * KIB, GIB, "bytes",
        "Bytes kept for one watch that its client does not take; more end the watch, which can be resumed.",
    ),
    int_key(
        "limits.watches_bytes_max", 256 * MIB, MIB, 64 * GIB, "bytes",
        "Bytes kept for all watches together, shared ones once; beyond it those with the most are ended, and can be resumed.",
    ),
)  # fmt: skip

KEYS: tuple[Key, ...] = (
    *_NODE, *_NETWORK, *_STORAGE, *_RAFT, *_LOGGING, *_CLUSTER, *_SECURITY, *_LIMITS
)  # fmt: skip
BY_PATH: dict[str, Key] = {key.path: key for key in KEYS}
assert len(BY_PATH) == len(KEYS)

SECTION_DOCS: dict[str, str] = {
    "node": "This node",
    "network": "Talking to clients and peers",
    "storage": "The disk",
    "raft": "Consensus",
    "raft.snapshot_policy": "When the state is flushed, so that the log can be cut",
    "logging": "Logs",
    "cluster": "The cluster as it is meant to be",
    "cluster.peers.N": "One table per node; also as a [[cluster.peer]] list with id",
    "cluster.discovery": "Finding peers",
    "security": "Who may do what",
    "limits": "What clients may use; more is refused with a clear answer",
}
assert set(SECTION_DOCS) == {key.section for key in KEYS}
