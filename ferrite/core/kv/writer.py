"""The changes of one apply, revision by revision. Layout: `ferrite.core.kv.layout`."""

from __future__ import annotations

from ferrite.core.kv.layout import Layout
from ferrite.core.kv.meta import Meta
from ferrite.core.kv.records import (
    DELETED,
    Pointer,
    change_size_bytes,
    decode_pointer,
    encode_pointer,
    encode_put,
    encode_tombstone,
)
from ferrite.core.kv.store import Overlay


class Writer:
    """Puts and deletes on the overlay. What happens between two calls of `finish` is one revision; `sub` numbers its changes.

    Always: a key is put at most once within a revision, and not together with a deletion of it.
    """

    __slots__ = ("_layout", "_meta", "_overlay", "_records", "revisions")

    def __init__(self, layout: Layout, overlay: Overlay, meta: Meta) -> None:
        """`meta` is the apply's working copy."""
        self._layout = layout
        self._overlay = overlay
        self._meta = meta
        self._records: list[bytes] = []
        self.revisions: list[tuple[int, list[bytes]]] = []
        """The revisions made so far, each with its records of table 40 in order."""

    @property
    def revision(self) -> int:
        """The revision as it is seen from inside: the new one as soon as something changed."""
        return self._meta.revision + 1 if self._records else self._meta.revision

    def finish(self) -> int:
        """End the revision; return the store's. When nothing changed it is what it was."""
        meta = self._meta
        if self._records:
            meta.revision += 1
            self.revisions.append((meta.revision, self._records))
            self._records = []
        return meta.revision

    def put(self, key: bytes, data: bytes, lease: int = 0) -> bytes | None:
        """Set a key; return the pointer's record until then, None for an absent key."""
        layout, overlay, revision, sub = (
            self._layout,
            self._overlay,
            self._meta.revision + 1,
            len(self._records),
        )
        place = layout.key(key)
        before = overlay.get(place)
        if before is None:
            created, version, lease_before, latest = revision, 1, 0, None
        else:
            latest = decode_pointer(before)
            mod_revision, _, created, version, lease_before, _ = latest
            version += 1
            overlay.put(layout.history(key, mod_revision), before)
        size = self._record(sub, encode_put(key, data, created, version, lease, latest))
        overlay.put(place, encode_pointer(revision, sub, created, version, lease, size))
        if lease != lease_before:
            self._detach(lease_before, key)
            if lease:
                overlay.put(layout.attachment(lease, key), b"")
        return before

    def delete(self, key: bytes) -> Pointer | None:
        """Delete a key; return the version that it had, None for an absent key."""
        before = self._overlay.get(self._layout.key(key))
        return None if before is None else self.remove(key, before)

    def remove(self, key: bytes, before: bytes) -> Pointer:
        """Delete a key whose pointer's record is known; return the version that it had."""
        layout, overlay, revision = self._layout, self._overlay, self._meta.revision + 1
        latest = decode_pointer(before)
        overlay.put(layout.history(key, latest.mod_revision), before)
        overlay.put(layout.history(key, revision), DELETED)
        overlay.delete(layout.key(key))
        self._record(len(self._records), encode_tombstone(key, latest))
        self._detach(latest.lease, key)
        return latest

    def _record(self, sub: int, change: bytes) -> int:
        """Return the bytes that the record takes."""
        size = change_size_bytes(change)
        self._overlay.put(self._layout.revision(self._meta.revision + 1, sub), change)
        self._meta.size_bytes += size
        self._records.append(change)
        return size

    def _detach(self, lease: int, key: bytes) -> None:
        if lease:
            self._overlay.delete(self._layout.attachment(lease, key))
