"""The two most frequent requests in their plainest form, and their answers, without a JSON parser: 3 us instead of 25. Pure.

    {"Set":{"key":"...","value":"..."}}        {"key":"..."}

Only strings without escapes, and at most one space after a colon or comma, as usual encoders write them. Whatever is written
in another way, or is wrong, is none of these: the strict parser reads it, and refuses it in its own words.
"""

from __future__ import annotations

import json
import re
from typing import Final

from ferrite.core import Consistency
from ferrite.core.kv import Get, GetResult, Put, PutResult
from ferrite.io.config import LimitsConfig
from ferrite.io.http.kv_json import ReadRequest, WriteRequest
from ferrite.io.http.options import ReadOptions, WriteOptions
from ferrite.io.request_path import Answered

_WRITE: Final = re.compile(
    rb'\{"Set": ?\{"key": ?"([^"\\\x00-\x1f]+)", ?"value": ?"([^"\\\x00-\x1f]*)"\}\}\n?'
)
_READ: Final = re.compile(rb'\{"key": ?"([^"\\\x00-\x1f]+)"\}\n?')
_WRITE_OPTIONS: Final = WriteOptions(session=None, timeout_ms=None)
_READ_OPTIONS: Final = ReadOptions(consistency=Consistency.LINEARIZABLE, max_staleness_ms=0, timeout_ms=None)


def plain_write(body: bytes, limits: LimitsConfig) -> WriteRequest | None:
    """What a plain write asks for; None: it is not plain."""
    found = _WRITE.fullmatch(body)
    if found is None or not _is_utf8(body):
        return None
    key, content = found.groups()
    if len(key) > limits.key_bytes_max or len(content) > limits.value_bytes_max:
        return None
    return WriteRequest(operation=Put(key=key, value=content), options=_WRITE_OPTIONS)


def plain_read(body: bytes, limits: LimitsConfig) -> ReadRequest | None:
    """What a plain read asks for; None: it is not plain."""
    found = _READ.fullmatch(body)
    if found is None or not _is_utf8(body):
        return None
    key = found[1]
    if len(key) > limits.key_bytes_max:
        return None
    return ReadRequest(
        query=Get(key=key), encoding="utf-8", options=_READ_OPTIONS, key_as_sent=key.decode("utf-8")
    )


def plain_write_answer(answered: Answered) -> bytes | None:
    """The JSON of `write_answer` for a Set; None: it was another operation."""
    result = answered.result
    if type(result) is not PutResult:
        return None
    return b'{"revision":%d,"leader":%b}\n' % (result.revision, _leader(answered))


def plain_read_answer(request: ReadRequest, answered: Answered) -> bytes | None:
    """The JSON of `read_answer` for a key that is there and a value that is text; None: it needs more."""
    result = answered.result
    if type(result) is not GetResult or request.encoding != "utf-8" or result.entry is None:
        return None
    entry = result.entry
    try:
        text = json.dumps(entry.value.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    return (
        f'{{"key":{json.dumps(request.key_as_sent)},"value":{text},"revision":{result.revision},'
        f'"create_revision":{entry.create_revision},"mod_revision":{entry.mod_revision},"version":{entry.version},'
        f'"leader":{answered.leader_id or "null"}}}\n'
    ).encode("ascii")


def _leader(answered: Answered) -> bytes:
    return b"%d" % answered.leader_id if answered.leader_id else b"null"


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
