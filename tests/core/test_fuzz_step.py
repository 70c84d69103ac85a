"""A replica in every role, told anything by a confused peer, with an honest host below it: `Host` checks every step."""

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.core import (
    AddLearner,
    Change,
    Consistency,
    Entry,
    Index,
    LostTail,
    Membership,
    NodeId,
    RefusalCode,
    RemoveLearner,
    RequestId,
    SnapshotMeta,
    StopCode,
    Term,
    UpdateAddress,
    encode_membership,
    events,
    messages,
)
from tests.core import one_replica as one
from tests.core.one_replica import ME, SMALL, THREE, Host, command, members_of

LEGAL_STOPS = frozenset({StopCode.CORRUPTION})
"""What a replica may do about a peer that contradicts what is committed."""
SEEDS = int(os.environ.get("FERRITE_FUZZ_SEEDS", "30"))
"""More of them for an evening: FERRITE_FUZZ_SEEDS=20000."""
STEPS = 60
U64_MAX = 2**64 - 1
PATIENCE_US = 10_000_000
"""Longer than any deadline that is given here."""


def lost_tail_follower() -> Host:
    start = one.recovered([command(1), command(2)], term=2, applied=1)
    mark = LostTail(last_index=Index(4), term=Term(2))
    return Host(replace(start, log=replace(start.log, lost_tail=mark)), SMALL)


def leader_far_ahead() -> Host:
    """Its learner has never answered, and what that one lacks has been cut away."""
    host = one.leader(config=SMALL)
    for _ in range(6):
        request = RequestId(host.request_id())
        host.step(events.ProposalReceived(request=request, command=b"c", deadline_us=host.now_us + 1_000_000))
        host.finish_all()
        for voter in (2, 3):
            one.acknowledge(host, voter)
        host.finish_all()
    host.to_deadline()
    return host


STARTS: dict[str, Callable[[], Host]] = {
    "fresh": lambda: Host(one.fresh(), SMALL),
    "follower": lambda: one.follower(config=SMALL),
    "learner": lambda: one.follower(membership=members_of(2, 3, learners=(1,)), config=SMALL),
    "follower with a lost tail": lost_tail_follower,
    "pre-candidate": lambda: one.pre_candidate(config=SMALL),
    "candidate": lambda: one.candidate(config=SMALL),
    "new leader": lambda: one.leader(settled=False, config=SMALL),
    "leader": lambda: one.leader(config=SMALL),
    "leader far ahead": leader_far_ahead,
    "leader in a joint membership": lambda: one.leader(
        members_of(1, 2, 3, outgoing=(1, 4), retired=(5,)), settled=False, config=SMALL
    ),
    "only voter": lambda: one.leader(members_of(1, learners=(4,), retired=(5,)), config=SMALL),
}


class Confusion:
    """Makes messages, mostly wrong, around the values where the comparisons of the core change their mind."""

    def __init__(self, host: Host, dice: Random) -> None:
        self.host, self.dice = host, dice

    def index(self) -> Index:
        now = self.host.replica.status()
        near = [now.last_log_index, now.commit_index, now.first_log_index, now.applied_index]
        known = self.dice.choice(near) + self.dice.choice((-1, 0, 0, 1, 2))
        far = self.dice.choice((0, 1, 2, known + 5, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, U64_MAX))
        return Index(max(known, 0) if self.dice.random() < 0.75 else far)

    def term(self) -> Term:
        now = self.host.replica.status()
        near = [now.term, now.term, now.term, now.last_log_term, now.term + 1, max(now.term - 1, 0)]
        far = (0, 1, 1 << 32, 1 << 61, (1 << 62) + 1, 1 << 63, U64_MAX)
        return Term(self.dice.choice(near) if self.dice.random() < 0.97 else self.dice.choice(far))

    def entry(self) -> Entry:
        dice = self.dice
        kind = dice.choice((0, 1, 1, 1, 1, 2, 2, 3, 255))
        time_us = dice.choice((0, 1, 10**15, 10**15, 10**15, 1 << 62, 1 << 63, U64_MAX))
        body = dice.choice((b"", b"x", b"\x00" * 60, b"\xc1", b"\x96\x01"))
        if kind == 2 and dice.random() < 0.8:
            body = encode_membership(self.membership())
        payload = bytes([kind]) + time_us.to_bytes(8, "big") + body
        if dice.random() < 0.05:
            payload = payload[: dice.randrange(9)]
        return Entry(self.term(), payload)

    def entries(self) -> tuple[Entry, ...]:
        made = [self.entry() for _ in range(self.dice.choice((0, 0, 1, 1, 2, 5)))]
        return tuple(sorted(made) if self.dice.random() < 0.7 else made)

    def membership(self) -> Membership:
        return self.dice.choice(
            (
                THREE,
                members_of(1, 2, 3),
                members_of(2, 3),
                members_of(1),
                members_of(1, 2, 3, 4, outgoing=(1, 2, 3), retired=(5,)),
                members_of(2, 3, learners=(1, 4), retired=(5,)),
                members_of(6, 7, 8, outgoing=(1, 2), retired=(3, 4, 5)),
                members_of(U64_MAX, 1, 2),
                Membership(),
                Membership(voters=(NodeId(1), NodeId(2))),
            )
        )

    def meta(self) -> SnapshotMeta:
        return SnapshotMeta(
            snapshot_id=self.dice.choice((b"a" * 16, b"b" * 16, bytes(16))),
            last_index=self.index(),
            last_term=self.term(),
            size_bytes=self.dice.choice((0, 8, 16, 16, 16, U64_MAX)),
        )

    def number(self) -> int:
        return self.dice.choice((0, 1, 2, 3, 8, 16, 1 << 32, U64_MAX))

    def flag(self) -> bool:
        return self.dice.random() < 0.5

    def message(self) -> messages.Message:
        made = self.dice.choice(
            (
                self.append,
                self.likely_append,
                self.likely_append,
                self.piece,
                self.piece,
                self.answer,
                self.any_other,
            )
        )
        return made()

    def append(self) -> messages.Message:
        prev = self.index()
        term = self.host.term_of(prev) if self.dice.random() < 0.8 else self.term()
        return messages.AppendEntries(
            term=self.term(),
            prev_log_index=prev,
            prev_log_term=term if term is not None else self.term(),
            entries=self.entries(),
            leader_commit=self.index(),
        )

    def likely_append(self) -> messages.Message:
        """What a leader of this or the next term could have sent: sound, about the end of the log, commit seldom beyond."""
        now, dice = self.host.replica.status(), self.dice
        term = max(now.term, 1) + dice.choice((0, 0, 0, 1))
        prev = max(now.last_log_index - dice.choice((0, 0, 1, 2)), now.commit_index)
        prev_term = self.host.term_of(prev) or (now.last_log_term if prev == now.last_log_index else 0)
        terms = sorted(dice.choice((prev_term, term, term)) for _ in range(dice.choice((0, 1, 2))))
        return messages.AppendEntries(
            term=Term(term),
            prev_log_index=Index(prev),
            prev_log_term=Term(prev_term),
            entries=tuple([self.likely_entry(max(one_term, 1)) for one_term in terms]),
            leader_commit=Index(dice.choice((0, now.commit_index, now.commit_index + 1))),
        )

    def likely_entry(self, term: int) -> Entry:
        if self.dice.random() < 0.6:
            return command(term, b"c" * self.dice.randrange(20), time_us=self.dice.randrange(1000))
        known = (
            THREE,
            members_of(1, 2, 3),
            members_of(2, 3, learners=(1,)),
            members_of(1, 2, outgoing=(1, 2, 3)),
        )
        return one.config_entry(term, self.dice.choice(known))

    def piece(self) -> messages.Message:
        meta, offset = self.meta(), self.dice.choice((0, 0, 8, 8, 16, U64_MAX))
        data = b"d" * self.dice.choice((0, 8, 8, 16, 100))
        done = offset + len(data) == meta.size_bytes
        return messages.InstallSnapshot(
            term=self.term(), snapshot=meta, offset=offset, data=data, done=done != (self.dice.random() < 0.1)
        )

    def answer(self) -> messages.Message:
        """An answer to something that the replica did send, honest or nearly so."""
        sent = self.host.sent[-8:]
        if not sent:
            return self.any_other()
        term = self.term()
        match self.dice.choice(sent).message:
            case messages.AppendEntries(prev_log_index=prev, entries=entries):
                if self.dice.random() < 0.6:
                    match = Index(prev + len(entries))
                    return messages.AppendEntriesResponse(term=term, success=True, match_index=match)
                return messages.AppendEntriesResponse(
                    term=term,
                    success=False,
                    prev_log_index=prev,
                    conflict_term=self.term(),
                    conflict_index=self.index(),
                )
            case messages.Heartbeat(round=number):
                return messages.HeartbeatResponse(term=term, round=number, last_log_index=self.index())
            case messages.PreVote(term=proposed):
                return messages.PreVoteResponse(
                    term=term, proposed_term=proposed, vote_granted=self.dice.random() < 0.8
                )
            case messages.RequestVote():
                return messages.RequestVoteResponse(term=term, vote_granted=self.dice.random() < 0.8)
            case messages.ReadIndex(context=context):
                return messages.ReadIndexResponse(
                    term=term, context=context, read_index=self.index(), ready=self.flag()
                )
            case messages.Forward(proposals=proposals):
                return messages.ForwardRefused(
                    term=term,
                    boot=1,
                    requests=tuple([request for request, _ in proposals]),
                    code=self.dice.choice(list(RefusalCode)),
                    detail="no",
                )
            case _:
                return self.any_other()

    def any_other(self) -> messages.Message:
        dice, term = self.dice, self.term()
        saved = b"S%015d" % self.host.state_index
        return dice.choice(
            (
                lambda: messages.PreVote(term=term, last_log_index=self.index(), last_log_term=self.term()),
                lambda: messages.PreVoteResponse(
                    term=term, proposed_term=self.term(), vote_granted=self.flag()
                ),
                lambda: messages.RequestVote(
                    term=term, last_log_index=self.index(), last_log_term=self.term(), disrupt=self.flag()
                ),
                lambda: messages.RequestVoteResponse(term=term, vote_granted=self.flag()),
                lambda: messages.AppendEntriesResponse(
                    term=term,
                    success=self.flag(),
                    match_index=self.index(),
                    prev_log_index=self.index(),
                    conflict_term=self.term(),
                    conflict_index=self.index(),
                ),
                lambda: messages.Heartbeat(term=term, leader_commit=self.index(), round=self.number()),
                lambda: messages.HeartbeatResponse(
                    term=term, round=self.number(), last_log_index=self.index()
                ),
                lambda: messages.InstallSnapshotResponse(
                    term=term,
                    snapshot_id=dice.choice((saved, b"a" * 16)),
                    next_offset=self.number(),
                    installed=self.flag(),
                ),
                lambda: messages.ReadIndex(term=term, context=self.number()),
                lambda: messages.ReadIndexResponse(
                    term=term, context=self.number(), read_index=self.index(), ready=self.flag()
                ),
                lambda: messages.TimeoutNow(term=term),
                lambda: messages.Forward(
                    term=term, proposals=((RequestId(self.number()), b"f"), (RequestId(self.number()), b""))
                ),
                lambda: messages.ForwardRefused(
                    term=term,
                    boot=dice.choice((1, 1, 1, 2)),
                    requests=(RequestId(1), RequestId(self.number())),
                    code=dice.choice(list(RefusalCode)),
                    detail="no",
                ),
            )
        )()

    def header(self) -> messages.Header:
        dice = self.dice
        leading = self.host.replica.status().leader
        likely = (2 if leading in {0, ME} else leading, 2, 2, 3, 3, 4)
        source = dice.choice(likely if dice.random() < 0.9 else (0, 1, 5, 99, U64_MAX))
        header = one.header_from(source, boot=dice.choice((1, 1, 1, 1, 1, 1, 0, 2)))
        match dice.randrange(60):
            case 0:
                return replace(header, cluster_id=bytes(16))
            case 1:
                return replace(header, cluster_id=b"D" * 16)
            case 2:
                return replace(header, target=NodeId(2))
            case 3:
                return replace(header, target_instance=bytes(16))
            case 4:
                return replace(header, source_instance=b"wrong, but 16 b.")
            case 5:
                return replace(header, group_id=1)
            case _:
                return header


def change(dice: Random) -> Change:
    return dice.choice(
        (
            AddLearner(member=one.member(dice.choice((1, 4, 5, 6, 0)))),
            one.change_voters(*dice.choice(((1, 2, 3), (1, 2), (2, 3), (1,), (1, 2, 3, 4), (9,), ()))),
            UpdateAddress(member=one.member(dice.choice((1, 2, 9)))),
            RemoveLearner(node_id=NodeId(dice.choice((2, 4, 9)))),
        )
    )


def client(host: Host, dice: Random) -> events.Event:
    deadline_us = host.now_us + dice.choice((-1, 0, 1, 300_000, 3_000_000))
    kind = dice.randrange(20)
    if kind == 0:
        return events.ShutdownRequested(deadline_us=deadline_us)
    if kind == 1:
        return events.PeerUnreachable(peer=NodeId(dice.choice((1, 2, 3, 9))))
    request = RequestId(host.request_id())
    if kind == 2:
        cluster = dice.choice((one.CLUSTER, bytes(16)))
        return events.BootstrapRequested(
            request=request, cluster_id=cluster, membership=dice.choice((members_of(1, 2), members_of(2)))
        )
    if kind <= 5:
        return events.MembershipChangeRequested(request=request, change=change(dice), deadline_us=deadline_us)
    if kind <= 7:
        target = NodeId(dice.choice((0, 1, 2, 4, 9)))
        return events.TransferRequested(request=request, target=target, deadline_us=deadline_us)
    if kind <= 12:
        return events.ReadRequested(
            request=request,
            deadline_us=deadline_us,
            consistency=dice.choice(list(Consistency)),
            max_staleness_us=dice.choice((0, 1, 1 << 62)),
        )
    return events.ProposalReceived(
        request=request, command=b"c" * dice.randrange(40), deadline_us=deadline_us
    )


def complete(host: Host, dice: Random) -> None:
    """One of the things that the host owes, as it would happen on an honest machine."""
    owed: list[Callable[[], object]] = []
    if host.disk.pending:
        owed.append(lambda: host.finish_writes(dice.randint(1, len(host.disk.pending))))
    if host.applying:
        owed.append(host.finish_apply if dice.random() < 0.8 else host.stall_apply)
    if host.flushing:
        owed.append(host.finish_flush)
    if host.loading:
        owed.append(host.finish_load)
    if host.saving:
        owed.append(lambda: host.finish_save(well=dice.random() < 0.8))
    if host.installing:
        owed.append(lambda: host.finish_install(well=dice.random() < 0.7))
    if owed:
        dice.choice(owed)()


def run(start: str, dice: Random, steps: int) -> Host:
    """Drive it, then let it rest: every deadline passes, every request has its one answer."""
    host = STARTS[start]()
    confusion = Confusion(host, dice)
    for _ in range(steps):
        if host.stop:
            break
        kind = dice.random()
        if kind < 0.5:
            heard = [
                events.MessageReceived(header=confusion.header(), message=confusion.message())
                for _ in range(dice.choice((1, 1, 1, 2, 4)))
            ]
            host.step(*heard)
        elif kind < 0.7:
            complete(host, dice)
        elif kind < 0.75:
            one.acknowledge(host, dice.choice((2, 3)))
        elif kind < 0.9:
            host.step(client(host, dice), after_us=dice.choice((0, 1, 1000)))
        elif kind < 0.95:
            host.to_deadline()
        else:
            host.step(after_us=dice.choice((0, 1, 50_000, 999_999, 3_000_000)))
        host.rest()
    come_to_rest(host)
    return host


def come_to_rest(host: Host) -> None:
    end_us = host.now_us + PATIENCE_US
    for _ in range(400):
        host.finish_all()
        if host.stop or host.now_us >= end_us:
            break
        host.to_deadline()
        host.rest()
    else:
        raise AssertionError("400 deadlines within ten seconds")
    if host.stop:
        assert host.stop.code in LEGAL_STOPS or host.replica.status().shutting_down, host.stop
    unanswered = set(range(1, host.last_request + 1)) - host.answers.keys()
    assert not unanswered, f"without an answer: {sorted(unanswered)}"


@pytest.mark.parametrize("start", STARTS)
def test_nothing_that_a_confused_peer_says_breaks_a_replica(start: str) -> None:
    for seed in range(SEEDS):
        try:
            run(start, Random(f"{start}/{seed}"), STEPS)
        except Exception as error:
            raise AssertionError(f"run({start!r}, Random({start + '/' + str(seed)!r}), {STEPS})") from error


@settings(max_examples=max(settings().max_examples // 4, 1))
@given(st.sampled_from(sorted(STARTS)), st.randoms(use_true_random=False))
def test_the_smallest_story_that_breaks_a_replica(start: str, dice: Random) -> None:
    run(start, dice, 20)


def test_the_fuzz_reaches_what_it_is_for() -> None:
    """Else a change of the core or of the fuzz could make it test nothing."""
    seen: dict[str, int] = {}
    for start in STARTS:
        for seed in range(12):
            host = run(start, Random(f"{start}/{seed}"), STEPS)
            for name, count in host.replica.status().counters.items():
                seen[name] = seen.get(name, 0) + count
            for action in host.done:
                seen[type(action).__name__] = seen.get(type(action).__name__, 0) + 1
    wanted = {
        "Persist", "Apply", "ServeRead", "FlushState", "LoadEntries", "DiscardLog", "SaveSnapshot", "SendSnapshot", "StoreChunk",
        "InstallSnapshot", "Send", "Reply", "Refuse", "Abandon", "Announce", "Stop",
        "log_truncations", "leaderships_won", "leaderships_lost", "snapshots_installed", "membership_changes",
        "messages_dropped_malformed", "messages_dropped_identity", "messages_dropped_earlier_term", "apply_stalls",
    }  # fmt: skip
    assert not {name for name in wanted if not seen.get(name)}
