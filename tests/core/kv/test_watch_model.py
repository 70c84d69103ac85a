"""Whatever happens in whatever order, a watch gets exactly the changes that it asked for: in order, each once, without a gap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ferrite.core.kv import (
    FROM_KEY,
    Change,
    Delivery,
    HistoryPiece,
    HistoryRead,
    KeyValue,
    RevisionChanges,
    WatchEnd,
    WatchEnded,
    WatchEvent,
    WatchHub,
    WatchLimits,
    WatchSpec,
)
from ferrite.core.kv.watch import PLACE_BYTES

KEYS = [b"a", b"b", b"c"]
RANGES = [(b"a", b""), (b"b", b""), (b"a", b"c"), (b"b", FROM_KEY), (b"\x00", FROM_KEY), (b"c", b"a")]
BOUND = 700
"""About seven events: small enough to be hit."""
BOUND_OF_ALL = 1800
"""Less than three full queues that share nothing."""

SPECS = st.builds(
    lambda where, prev, kinds, progress: WatchSpec(
        key=where[0],
        range_end=where[1],
        prev_kv=prev,
        no_puts=kinds == 1,
        no_deletes=kinds == 2,
        progress=progress,
    ),
    st.sampled_from(RANGES),
    st.booleans(),
    st.integers(0, 2),
    st.booleans(),
)
# One revision: which keys are put and which deleted.
REVISIONS = st.lists(
    st.dictionaries(st.sampled_from(KEYS), st.booleans(), min_size=1), min_size=1, max_size=4
)


def covers(spec: WatchSpec, key: bytes) -> bool:
    if not spec.range_end:
        return key == spec.key
    return spec.key <= key and (spec.range_end == FROM_KEY or key < spec.range_end)


@dataclass
class Client:
    """What one watch asked for and got."""

    spec: WatchSpec
    first: int
    """The first revision that it wants."""
    got: list[Delivery] = field(default_factory=list)
    told: int = 0
    """Everything up to here was delivered, it was told."""
    ended: WatchEnded | None = None


class State:
    """A state with its whole history: what the machine has."""

    def __init__(self) -> None:
        self.history: list[RevisionChanges] = []
        self.latest: dict[bytes, tuple[Change, int]] = {}
        self.versions: dict[tuple[int, int], KeyValue] = {}

    @property
    def revision(self) -> int:
        return 1 + len(self.history)

    def change(self, kinds: dict[bytes, bool]) -> RevisionChanges:
        revision = self.revision + 1
        changes: list[Change] = []
        for key, put in sorted(kinds.items()):
            before = self.latest.get(key)
            if put or before is not None:
                changes.append(self._one(key, revision, len(changes), put=put or before is None))
        group = RevisionChanges(revision=revision, changes=tuple(changes))
        self.history.append(group)
        return group

    def _one(self, key: bytes, revision: int, sub: int, *, put: bool) -> Change:
        before, before_sub = self.latest.get(key, (None, 0))
        change = Change(
            key=key,
            value=b"%d" % revision if put else b"",
            create_revision=(before.create_revision if before else revision) if put else 0,
            mod_revision=revision,
            version=(before.version + 1 if before else 1) if put else 0,
            lease=0,
            deleted=not put,
            prev_revision=before.mod_revision if before else 0,
            prev_sub=before_sub,
            prev_size_bytes=0,
        )
        if put:
            self.latest[key] = change, sub
            self.versions[revision, sub] = entry(change)
        else:
            self.latest.pop(key)
        return change


def entry(change: Change) -> KeyValue:
    return KeyValue(
        key=change.key, value=change.value, create_revision=change.create_revision,
        mod_revision=change.mod_revision, version=change.version, lease=change.lease,
    )  # fmt: skip


class Watching(RuleBasedStateMachine):
    """One hub, its host, its state, and clients that take when they like."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.compacted = 0
        self.hub = WatchHub(
            revision=1,
            limits=WatchLimits(watches_max=8, queue_bytes_max=BOUND, watches_bytes_max=BOUND_OF_ALL),
        )
        self.clients: dict[int, Client] = {}
        self.reading: HistoryRead | None = None

    # -- what happens

    @rule(revisions=REVISIONS, compact=st.integers(0, 9))
    def apply(self, revisions: list[dict[bytes, bool]], compact: int) -> None:
        batch = [self.state.change(kinds) for kinds in revisions]
        if compact > 6:
            self.compacted = max(self.compacted, self.state.revision - (9 - compact) * 3)
        self.hub.on_applied(
            batch, revision=self.state.revision, compacted_revision=self.compacted, previous=self.previous
        )

    def previous(self, change: Change) -> KeyValue | None:
        return self.state.versions.get((change.prev_revision, change.prev_sub))

    @rule(revisions=REVISIONS, compact=st.integers(0, 12))
    def install(self, revisions: list[dict[bytes, bool]], compact: int) -> None:
        for kinds in revisions:
            self.state.change(kinds)
        if compact > 6:
            self.compacted = max(self.compacted, self.state.revision - (12 - compact))
        self.hub.on_installed(revision=self.state.revision, compacted_revision=self.compacted)

    @precondition(lambda self: self.hub.count < 8)
    @rule(spec=SPECS, back=st.integers(-3, 12), now=st.booleans())
    def add(self, spec: WatchSpec, back: int, now: bool) -> None:
        start = 0 if now else max(0, self.state.revision + 1 - back)
        spec = replace(spec, start_revision=start)
        number, given = self.hub.add(spec)
        assert number not in self.clients
        assert given == (max(start, 2) - 1 if start else self.state.revision)
        self.clients[number] = Client(spec=spec, first=given + 1, told=given)

    @precondition(lambda self: self.reading is None)
    @rule()
    def order(self) -> None:
        self.reading = self.hub.next_read()

    @precondition(lambda self: self.reading is not None)
    @rule(length=st.integers(1, 6), lost=st.integers(0, 5))
    def read(self, length: int, lost: int) -> None:
        read = self.reading
        assert read is not None
        self.reading = None
        if not lost or read.from_revision < self.compacted:
            self.hub.on_history(None)
            return
        first = read.from_revision - 2
        changes = tuple(self.state.history[first : first + length])
        previous = self.state.versions if read.with_previous else {}
        self.hub.on_history(
            HistoryPiece(
                changes=changes, through_revision=read.from_revision + len(changes) - 1, previous=previous
            )
        )

    @rule(choice=st.integers(0, 7))
    def take(self, choice: int) -> None:
        if self.clients:
            self.take_one(list(self.clients)[choice % len(self.clients)])

    def take_one(self, number: int) -> None:
        client = self.clients[number]
        for item in self.hub.take(number):
            assert client.ended is None, "nothing comes after the end"
            if isinstance(item, WatchEnded):
                client.ended = item
                self.check_end(client, item)
            else:
                self.check_delivery(client, item)
        if client.ended is not None:
            del self.clients[number]

    @rule(choice=st.integers(0, 7))
    def remove(self, choice: int) -> None:
        if self.clients and choice < 2:
            number = list(self.clients)[choice % len(self.clients)]
            del self.clients[number]
            self.hub.remove(number)

    @rule(choice=st.integers(0, 7))
    def ask_progress(self, choice: int) -> None:
        if self.clients:
            self.hub.request_progress(list(self.clients)[choice % len(self.clients)])

    @rule()
    def time_passes(self) -> None:
        self.hub.notify_progress()

    @rule()
    def everybody_catches_up(self) -> None:
        for _ in range(500):
            for number in list(self.clients):
                self.take_one(number)
            if self.reading is None:
                self.reading = self.hub.next_read()
            if self.reading is None:
                break
            self.read(3, 1)
        assert self.reading is None, "catching up ends"
        self.hub.take_ready()
        for number, client in self.clients.items():
            self.hub.request_progress(number)
            assert self.hub.take_ready() == [number]
            self.take_one(number)
            assert client.told == max(self.state.revision, client.first - 1)

    # -- what always holds

    def expected(self, client: Client, through: int) -> list[tuple[int, list[WatchEvent]]]:
        spec, found = client.spec, []
        for group in self.state.history:
            if client.first <= group.revision <= through:
                made = [
                    WatchEvent(
                        deleted=change.deleted,
                        entry=entry(change),
                        prev=self.previous(change) if spec.prev_kv else None,
                    )
                    for change in group.changes
                    if covers(spec, change.key) and not (spec.no_deletes if change.deleted else spec.no_puts)
                ]
                if made:
                    found.append((group.revision, made))
        return found

    def check_delivery(self, client: Client, item: Delivery) -> None:
        assert item.revision > client.told or not item.events
        assert item.revision >= client.told
        client.told = item.revision
        if item.events:
            client.got.append(item)
        assert [(d.revision, list(d.events)) for d in client.got] == self.expected(client, client.told)

    def check_end(self, client: Client, end: WatchEnded) -> None:
        got = [(d.revision, list(d.events)) for d in client.got]
        if end.reason is WatchEnd.COMPACTED:
            assert end.revision == self.compacted - 1 or end.revision < self.compacted
            assert end.revision >= client.told, "nothing that was delivered is compacted away"
            assert got == self.expected(client, client.told)
        else:
            assert end.reason is WatchEnd.SLOW
            assert end.revision >= client.told
            assert got == self.expected(client, end.revision), "resumed, it goes on without gap or repetition"

    @invariant()
    def queues_are_bounded(self) -> None:
        for watcher in self.hub._watchers.values():
            sizes = [item.size_bytes for item in watcher.queue if isinstance(item, Delivery)]
            assert len(sizes) <= 1 or sum(sizes) <= BOUND
            assert watcher.ended or watcher.queued_bytes == sum(sizes)

    @invariant()
    def all_queues_together_are_bounded(self) -> None:
        items = [
            item
            for watcher in self.hub._watchers.values()
            for item in watcher.queue
            if isinstance(item, Delivery)
        ]
        held = len(items) * PLACE_BYTES + sum(item.size_bytes for item in set(items))
        assert self.hub._held_bytes == held
        assert set(self.hub._holders) == set(items)
        assert held <= BOUND_OF_ALL or len(set(items)) == 1

    @invariant()
    def who_has_something_was_announced_or_will_be(self) -> None:
        waiting = {number for number, watcher in self.hub._watchers.items() if watcher.queue}
        assert waiting >= set(self.hub._ready)


TestWatching = Watching.TestCase
TestWatching.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
