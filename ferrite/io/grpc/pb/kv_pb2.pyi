from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Consistency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSISTENCY_LINEARIZABLE: _ClassVar[Consistency]
    CONSISTENCY_SERIALIZABLE: _ClassVar[Consistency]
CONSISTENCY_LINEARIZABLE: Consistency
CONSISTENCY_SERIALIZABLE: Consistency

class Leader(_message.Message):
    __slots__ = ("node_id", "http_addr", "grpc_addr")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    HTTP_ADDR_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    http_addr: str
    grpc_addr: str
    def __init__(self, node_id: _Optional[int] = ..., http_addr: _Optional[str] = ..., grpc_addr: _Optional[str] = ...) -> None: ...

class SetRequest(_message.Message):
    __slots__ = ("key", "value", "client_id", "request_id", "lowest_unacknowledged")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LOWEST_UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    client_id: bytes
    request_id: int
    lowest_unacknowledged: int
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., client_id: _Optional[bytes] = ..., request_id: _Optional[int] = ..., lowest_unacknowledged: _Optional[int] = ...) -> None: ...

class SetResponse(_message.Message):
    __slots__ = ("revision", "leader")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    revision: int
    leader: Leader
    def __init__(self, revision: _Optional[int] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("key", "consistency", "max_staleness_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_MS_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    consistency: Consistency
    max_staleness_ms: int
    def __init__(self, key: _Optional[bytes] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., max_staleness_ms: _Optional[int] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("found", "value", "revision", "create_revision", "mod_revision", "version", "leader")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    found: bool
    value: bytes
    revision: int
    create_revision: int
    mod_revision: int
    version: int
    leader: Leader
    def __init__(self, found: _Optional[bool] = ..., value: _Optional[bytes] = ..., revision: _Optional[int] = ..., create_revision: _Optional[int] = ..., mod_revision: _Optional[int] = ..., version: _Optional[int] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("key", "client_id", "request_id", "lowest_unacknowledged")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LOWEST_UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    client_id: bytes
    request_id: int
    lowest_unacknowledged: int
    def __init__(self, key: _Optional[bytes] = ..., client_id: _Optional[bytes] = ..., request_id: _Optional[int] = ..., lowest_unacknowledged: _Optional[int] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("existed", "revision", "leader")
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    revision: int
    leader: Leader
    def __init__(self, existed: _Optional[bool] = ..., revision: _Optional[int] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...

class KeyValuePair(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class BatchSetRequest(_message.Message):
    __slots__ = ("pairs", "client_id", "request_id", "lowest_unacknowledged")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LOWEST_UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    pairs: _containers.RepeatedCompositeFieldContainer[KeyValuePair]
    client_id: bytes
    request_id: int
    lowest_unacknowledged: int
    def __init__(self, pairs: _Optional[_Iterable[_Union[KeyValuePair, _Mapping]]] = ..., client_id: _Optional[bytes] = ..., request_id: _Optional[int] = ..., lowest_unacknowledged: _Optional[int] = ...) -> None: ...

class BatchSetResponse(_message.Message):
    __slots__ = ("revision", "existed", "leader")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    revision: int
    existed: _containers.RepeatedScalarFieldContainer[bool]
    leader: Leader
    def __init__(self, revision: _Optional[int] = ..., existed: _Optional[_Iterable[bool]] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("prefix", "limit", "after", "with_values", "consistency", "max_staleness_ms")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WITH_VALUES_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_MS_FIELD_NUMBER: _ClassVar[int]
    prefix: bytes
    limit: int
    after: bytes
    with_values: bool
    consistency: Consistency
    max_staleness_ms: int
    def __init__(self, prefix: _Optional[bytes] = ..., limit: _Optional[int] = ..., after: _Optional[bytes] = ..., with_values: _Optional[bool] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., max_staleness_ms: _Optional[int] = ...) -> None: ...

class KeyEntry(_message.Message):
    __slots__ = ("key", "value", "create_revision", "mod_revision", "version")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CREATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., create_revision: _Optional[int] = ..., mod_revision: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("entries", "more", "revision", "leader")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[KeyEntry]
    more: bool
    revision: int
    leader: Leader
    def __init__(self, entries: _Optional[_Iterable[_Union[KeyEntry, _Mapping]]] = ..., more: _Optional[bool] = ..., revision: _Optional[int] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...

class ExistsRequest(_message.Message):
    __slots__ = ("key", "consistency", "max_staleness_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_MS_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    consistency: Consistency
    max_staleness_ms: int
    def __init__(self, key: _Optional[bytes] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., max_staleness_ms: _Optional[int] = ...) -> None: ...

class ExistsResponse(_message.Message):
    __slots__ = ("exists", "revision", "leader")
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    exists: bool
    revision: int
    leader: Leader
    def __init__(self, exists: _Optional[bool] = ..., revision: _Optional[int] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...
