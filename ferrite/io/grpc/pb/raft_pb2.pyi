from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class Farewell(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IdentifyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IdentifyResponse(_message.Message):
    __slots__ = ("node_id", "instance", "cluster_id", "http_addr", "grpc_addr", "peer_addr", "version")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    HTTP_ADDR_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    instance: bytes
    cluster_id: bytes
    http_addr: str
    grpc_addr: str
    peer_addr: str
    version: str
    def __init__(self, node_id: _Optional[int] = ..., instance: _Optional[bytes] = ..., cluster_id: _Optional[bytes] = ..., http_addr: _Optional[str] = ..., grpc_addr: _Optional[str] = ..., peer_addr: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...
