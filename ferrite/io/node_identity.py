"""Who a node says it is: the answer of `GET /identity` and of `RaftService.Identify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ferrite.io.validation import Invalid, check_address, check_node_id, shown

ID_BYTES = 16
VERSION_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """A node and where it wants to be reached. `instance` and `cluster_id` are 16 bytes; an all-zero cluster id: none yet.

    Never empty: the three addresses, as `host:port`.
    """

    node_id: int
    instance: bytes
    cluster_id: bytes
    http_addr: str
    grpc_addr: str
    peer_addr: str
    version: str

    def as_json(self) -> dict[str, Any]:
        """The body of `GET /identity`."""
        return {
            "node_id": self.node_id,
            "instance": self.instance.hex(),
            "cluster_id": self.cluster_id.hex(),
            "http_addr": self.http_addr,
            "grpc_addr": self.grpc_addr,
            "peer_addr": self.peer_addr,
            "version": self.version,
        }


def identity_from_json(body: object) -> NodeIdentity:
    """The identity that `as_json` wrote. Raises `Invalid` on anything else: the answer of a stranger is untrusted input."""
    if not isinstance(body, dict):
        raise Invalid("identity", shown(body), "a JSON object")
    return checked_identity(
        NodeIdentity(
            node_id=body.get("node_id", 0),
            instance=_from_hex(body, "instance"),
            cluster_id=_from_hex(body, "cluster_id") or bytes(ID_BYTES),  # empty: none yet
            http_addr=_text(body, "http_addr"),
            grpc_addr=_text(body, "grpc_addr"),
            peer_addr=_text(body, "peer_addr"),
            version=_text(body, "version"),
        )
    )


def checked_identity(who: NodeIdentity) -> NodeIdentity:
    """Return `who` when it can be a node of ours. Raises `Invalid`."""
    check_node_id(who.node_id)
    for field, number in (("instance", who.instance), ("cluster_id", who.cluster_id)):
        if len(number) != ID_BYTES:
            raise Invalid(field, f"{len(number)} bytes", f"{ID_BYTES} bytes")
    for field, address in (
        ("http_addr", who.http_addr),
        ("grpc_addr", who.grpc_addr),
        ("peer_addr", who.peer_addr),
    ):
        if not check_address(address, field):
            raise Invalid(field, "empty", "host:port")
    if len(who.version) > VERSION_CHARACTERS_MAX:
        raise Invalid(
            "version", f"{len(who.version)} characters", f"at most {VERSION_CHARACTERS_MAX} characters"
        )
    return who


def _text(body: dict[str, object], field: str) -> str:
    text = body.get(field)
    if not isinstance(text, str):
        raise Invalid(field, shown(text), "text")
    return text


def _from_hex(body: dict[str, object], field: str) -> bytes:
    text = _text(body, field)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Invalid(field, shown(text), f"{2 * ID_BYTES} hexadecimal digits") from None
