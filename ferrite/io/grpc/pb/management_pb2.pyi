from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MemberAddress(_message.Message):
    __slots__ = ("node_id", "rpc_addr", "api_addr", "learner")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    API_ADDR_FIELD_NUMBER: _ClassVar[int]
    LEARNER_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    rpc_addr: str
    api_addr: str
    learner: bool
    def __init__(self, node_id: _Optional[int] = ..., rpc_addr: _Optional[str] = ..., api_addr: _Optional[str] = ..., learner: _Optional[bool] = ...) -> None: ...

class InitializeRequest(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[MemberAddress]
    def __init__(self, members: _Optional[_Iterable[_Union[MemberAddress, _Mapping]]] = ...) -> None: ...

class InitializeResponse(_message.Message):
    __slots__ = ("cluster_id", "leader_id", "voters", "learners")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    leader_id: int
    voters: _containers.RepeatedScalarFieldContainer[int]
    learners: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, cluster_id: _Optional[str] = ..., leader_id: _Optional[int] = ..., voters: _Optional[_Iterable[int]] = ..., learners: _Optional[_Iterable[int]] = ...) -> None: ...

class AddLearnerRequest(_message.Message):
    __slots__ = ("node_id", "rpc_addr", "api_addr")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    API_ADDR_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    rpc_addr: str
    api_addr: str
    def __init__(self, node_id: _Optional[int] = ..., rpc_addr: _Optional[str] = ..., api_addr: _Optional[str] = ...) -> None: ...

class AddLearnerResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class ChangeMembershipRequest(_message.Message):
    __slots__ = ("member_ids",)
    MEMBER_IDS_FIELD_NUMBER: _ClassVar[int]
    member_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, member_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ChangeMembershipResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class RemoveMemberRequest(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    def __init__(self, node_id: _Optional[int] = ...) -> None: ...

class RemoveMemberResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class TransferLeaderRequest(_message.Message):
    __slots__ = ("target_id",)
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    target_id: int
    def __init__(self, target_id: _Optional[int] = ...) -> None: ...

class TransferLeaderResponse(_message.Message):
    __slots__ = ("leader_id",)
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    leader_id: int
    def __init__(self, leader_id: _Optional[int] = ...) -> None: ...

class GetMetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Member(_message.Message):
    __slots__ = ("node_id", "http_addr", "grpc_addr", "peer_addr", "instance", "voter", "match_index", "lag", "state", "reachable")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    HTTP_ADDR_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDR_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    MATCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    http_addr: str
    grpc_addr: str
    peer_addr: str
    instance: str
    voter: bool
    match_index: int
    lag: int
    state: str
    reachable: bool
    def __init__(self, node_id: _Optional[int] = ..., http_addr: _Optional[str] = ..., grpc_addr: _Optional[str] = ..., peer_addr: _Optional[str] = ..., instance: _Optional[str] = ..., voter: _Optional[bool] = ..., match_index: _Optional[int] = ..., lag: _Optional[int] = ..., state: _Optional[str] = ..., reachable: _Optional[bool] = ...) -> None: ...

class GetMetricsResponse(_message.Message):
    __slots__ = ("node_id", "node_name", "cluster_name", "cluster_id", "instance", "boot", "version", "role", "term", "leader_id", "initialized", "shutting_down", "first_log_index", "last_log_index", "persisted_index", "commit_index", "applied_index", "flushed_index", "revision", "pending_requests", "leader_last_heard_ms", "voters", "outgoing", "learners", "members", "counters", "compacted_revision", "size_bytes", "no_space", "lease_count", "watchers")
    class CountersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    INITIALIZED_FIELD_NUMBER: _ClassVar[int]
    SHUTTING_DOWN_FIELD_NUMBER: _ClassVar[int]
    FIRST_LOG_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_LOG_INDEX_FIELD_NUMBER: _ClassVar[int]
    PERSISTED_INDEX_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    FLUSHED_INDEX_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PENDING_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    LEADER_LAST_HEARD_MS_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    OUTGOING_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    COMPACTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NO_SPACE_FIELD_NUMBER: _ClassVar[int]
    LEASE_COUNT_FIELD_NUMBER: _ClassVar[int]
    WATCHERS_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    node_name: str
    cluster_name: str
    cluster_id: str
    instance: str
    boot: int
    version: str
    role: str
    term: int
    leader_id: int
    initialized: bool
    shutting_down: bool
    first_log_index: int
    last_log_index: int
    persisted_index: int
    commit_index: int
    applied_index: int
    flushed_index: int
    revision: int
    pending_requests: int
    leader_last_heard_ms: int
    voters: _containers.RepeatedScalarFieldContainer[int]
    outgoing: _containers.RepeatedScalarFieldContainer[int]
    learners: _containers.RepeatedScalarFieldContainer[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    counters: _containers.ScalarMap[str, int]
    compacted_revision: int
    size_bytes: int
    no_space: bool
    lease_count: int
    watchers: int
    def __init__(self, node_id: _Optional[int] = ..., node_name: _Optional[str] = ..., cluster_name: _Optional[str] = ..., cluster_id: _Optional[str] = ..., instance: _Optional[str] = ..., boot: _Optional[int] = ..., version: _Optional[str] = ..., role: _Optional[str] = ..., term: _Optional[int] = ..., leader_id: _Optional[int] = ..., initialized: _Optional[bool] = ..., shutting_down: _Optional[bool] = ..., first_log_index: _Optional[int] = ..., last_log_index: _Optional[int] = ..., persisted_index: _Optional[int] = ..., commit_index: _Optional[int] = ..., applied_index: _Optional[int] = ..., flushed_index: _Optional[int] = ..., revision: _Optional[int] = ..., pending_requests: _Optional[int] = ..., leader_last_heard_ms: _Optional[int] = ..., voters: _Optional[_Iterable[int]] = ..., outgoing: _Optional[_Iterable[int]] = ..., learners: _Optional[_Iterable[int]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., counters: _Optional[_Mapping[str, int]] = ..., compacted_revision: _Optional[int] = ..., size_bytes: _Optional[int] = ..., no_space: _Optional[bool] = ..., lease_count: _Optional[int] = ..., watchers: _Optional[int] = ...) -> None: ...

class HealthCheckRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthCheckResponse(_message.Message):
    __slots__ = ("healthy", "initialized", "leader_known", "shutting_down", "role", "term", "applied_lag", "problems", "warnings")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    INITIALIZED_FIELD_NUMBER: _ClassVar[int]
    LEADER_KNOWN_FIELD_NUMBER: _ClassVar[int]
    SHUTTING_DOWN_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    APPLIED_LAG_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    healthy: bool
    initialized: bool
    leader_known: bool
    shutting_down: bool
    role: str
    term: int
    applied_lag: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, healthy: _Optional[bool] = ..., initialized: _Optional[bool] = ..., leader_known: _Optional[bool] = ..., shutting_down: _Optional[bool] = ..., role: _Optional[str] = ..., term: _Optional[int] = ..., applied_lag: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLeaderRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLeaderResponse(_message.Message):
    __slots__ = ("leader_id", "http_addr", "grpc_addr", "is_leader", "term")
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    HTTP_ADDR_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    IS_LEADER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    leader_id: int
    http_addr: str
    grpc_addr: str
    is_leader: bool
    term: int
    def __init__(self, leader_id: _Optional[int] = ..., http_addr: _Optional[str] = ..., grpc_addr: _Optional[str] = ..., is_leader: _Optional[bool] = ..., term: _Optional[int] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ("serializable",)
    SERIALIZABLE_FIELD_NUMBER: _ClassVar[int]
    serializable: bool
    def __init__(self, serializable: _Optional[bool] = ...) -> None: ...

class BackupChunk(_message.Message):
    __slots__ = ("name", "size_bytes", "data", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    data: bytes
    sha256: bytes
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...
