"""Commands, entries and a dumb model of the key-value machine."""

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from ferrite.core import Entry, EntryKind, Identity, Index, NodeId, RequestId, Term, encode_payload
from ferrite.core.kv import (
    AppliedBatch,
    Batch,
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    Delete,
    DeleteResult,
    MemoryStore,
    Operation,
    Put,
    PutResult,
    Session,
    SessionLimits,
    StateMachine,
    encode_command,
)

NODE = NodeId(1)
IDENTITY = Identity(node_id=NODE, instance=b"i" * 16, boot=7)
SECOND_US = 1_000_000


def command(
    operation: Operation,
    *,
    request: int = 1,
    session: Session | None = None,
    time_us: int = 0,
    term: int = 1,
    node: int = 1,
    boot: int = 7,
) -> Entry:
    body = encode_command(operation, origin=(NodeId(node), boot, RequestId(request)), session=session)
    return Entry(Term(term), encode_payload(EntryKind.COMMAND, time_us, body))


def put(key: bytes, data: bytes = b"v", **more: int) -> Entry:
    return command(Put(key=key, value=data), **more)  # type: ignore[arg-type]  # the numbers of `command`


class Machine:
    """A machine on a memory store with its host's duties done, one apply after the other."""

    def __init__(self, store: MemoryStore | None = None, limits: SessionLimits | None = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.machine = StateMachine(self.store, IDENTITY, session_limits=limits)

    def apply(self, *entries: Entry) -> AppliedBatch:
        applied = self.machine.apply(Index(self.machine.applied_index + 1), entries)
        self.store.write(applied.batch)
        self.machine.advance(applied)
        return applied

    def results(self, *entries: Entry) -> list[CommandResult]:
        return [result for _, result in self.apply(*entries).outcomes]

    def result(self, entry: Entry) -> CommandResult:
        (result,) = self.results(entry)
        return result


Plain = Put | Delete | Batch
"""What the simple face asks for."""


class Model:
    """What the machine should be, said as simply as possible: every version of every key, in a list."""

    def __init__(self) -> None:
        self.revision = 1
        self.versions: dict[bytes, list[tuple[int, bytes | None]]] = {}

    def apply(self, operation: Plain) -> CommandResult:
        singles = operation.operations if isinstance(operation, Batch) else (operation,)
        keys = [single.key for single in singles]
        if b"" in keys or len(keys) != len(set(keys)):
            return CommandFailed(code=CommandErrorCode.INVALID, detail="")
        existed = [self.value(key) is not None for key in keys]
        changing = [
            single for single, there in zip(singles, existed, strict=True) if isinstance(single, Put) or there
        ]
        self.revision += bool(changing)
        for single in changing:
            new = single.value if isinstance(single, Put) else None
            self.versions.setdefault(single.key, []).append((self.revision, new))
        match operation:
            case Put():
                return PutResult(revision=self.revision)
            case Delete():
                return DeleteResult(revision=self.revision, existed=existed[0])
            case Batch():
                return BatchResult(revision=self.revision, existed=tuple(existed))

    def value(self, key: bytes) -> bytes | None:
        versions = self.versions.get(key)
        return versions[-1][1] if versions else None

    def present(self) -> list[bytes]:
        return sorted(key for key in self.versions if self.value(key) is not None)

    def bookkeeping(self, key: bytes) -> tuple[int, int, int]:
        """(create_revision, mod_revision, version) of a present key."""
        life: list[int] = []
        for revision, data in self.versions[key]:
            life = [*life, revision] if data is not None else []
        return life[0], life[-1], len(life)


# Few keys, so that they meet; NUL, FF and prefixes of each other, because that is where orders go wrong.
KEYS = [
    b"a",
    b"a\x00",
    b"a\x00\x00",
    b"a\x00\x01",
    b"a\x00\xff",
    b"a\x01",
    b"aa",
    b"b",
    b"\x00",
    b"\x00\x01",
    b"\xff",
    b"\xff\xff",
]
keys = st.sampled_from([*KEYS, b""]) | st.binary(max_size=3)
singles = st.builds(lambda key, data: Put(key=key, value=data), keys, st.binary(max_size=4)) | st.builds(
    lambda key: Delete(key=key), keys
)
operations: st.SearchStrategy[Plain] = singles | st.builds(
    lambda several: Batch(operations=tuple(several)), st.lists(singles, max_size=5)
)
sessions = st.none() | st.builds(
    lambda client, request, lowest: Session(
        client_id=client, request_id=request, lowest_unacknowledged=lowest
    ),
    st.sampled_from([b"c1", b"c2", b"c3", b"c4"]),
    st.integers(1, 6),
    st.integers(0, 4),
)
commands = st.builds(
    lambda operation, session, node, time_us: command(operation, session=session, node=node, time_us=time_us),
    operations,
    sessions,
    st.sampled_from([1, 1, 2]),
    st.integers(0, 50),
)
odd_entries = st.builds(
    lambda payload: Entry(Term(1), payload),
    st.binary(max_size=30)
    | st.builds(
        lambda kind, rest: bytes([kind]) + bytes(8) + rest, st.integers(0, 3), st.binary(max_size=30)
    ),
)
entries = st.lists(commands | commands | odd_entries, max_size=25)

SMALL_LIMITS = SessionLimits(
    replies_max=2, ttl_us=20, activity_granule_us=3, sessions_max=2, ended_together=1, tombstones_max=2
)


def split(things: Sequence[Entry], sizes: Iterable[int]) -> list[Sequence[Entry]]:
    """Cut a list into parts of these sizes, as long as it lasts; what is left is the last part."""
    parts = []
    for size in sizes:
        if things:
            parts.append(things[:size])
            things = things[size:]
    return [*parts, things] if things else parts
