"""Planted bugs. Most are a replica that lies at its border, so that they survive any change inside the core; some replace a
function."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core import (
    Entry,
    HardState,
    Index,
    Membership,
    NodeId,
    Recovered,
    Replica,
    ReplicaConfig,
    Role,
    actions,
    events,
    messages,
)


def _with_message(action: actions.Action, message: messages.Message) -> actions.Action:
    assert isinstance(action, actions.Send)
    return actions.Send(to=action.to, message=message)


class VotesBeforeDurable(Replica):
    """1: a vote leaves before it is durable."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        for action in list(ordered):
            if isinstance(action, actions.Persist) and action.hard_state is not None and not action.entries:
                ordered += super().step([events.Persisted(write_seq=action.write_seq)], now_us)
        return ordered


class AcknowledgesBeforeDurable(Replica):
    """16: entries are acknowledged before they are durable; 17: and counted."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        for action in list(ordered):
            if isinstance(action, actions.Persist) and action.entries:
                ordered += super().step([events.Persisted(write_seq=action.write_seq)], now_us)
        return ordered


class IgnoresSyncErrors(Replica):
    """18: a failed sync is taken for a good one."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        believed = [
            events.Persisted(write_seq=event.write_seq) if isinstance(event, events.PersistFailed) else event
            for event in given
        ]
        return super().step(believed, now_us)


class GrantsEveryVote(Replica):
    """6: grants every vote it is asked for."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        for place, action in enumerate(ordered):
            if isinstance(action, actions.Send) and isinstance(action.message, messages.RequestVoteResponse):
                ordered[place] = _with_message(action, replace(action.message, vote_granted=True))
        return ordered


class ForgetsItsVote(Replica):
    """1, across a restart: the term is remembered, the vote is not."""

    def __init__(self, config: ReplicaConfig, recovered: Recovered, now_us: int) -> None:
        old = recovered.log.hard_state
        forgotten = HardState(cluster_id=old.cluster_id, term=old.term)
        super().__init__(config, replace(recovered, log=replace(recovered.log, hard_state=forgotten)), now_us)


class AcknowledgesItsOwnEnd(Replica):
    """14: the answer to an append names the own last index instead of what the append proved."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        for place, action in enumerate(ordered):
            if isinstance(action, actions.Send) and isinstance(
                action.message, messages.AppendEntriesResponse
            ):
                if action.message.success:
                    end = self.status().last_log_index
                    ordered[place] = _with_message(action, replace(action.message, match_index=end))
        return ordered


class ReadsWithoutQuorum(Replica):
    """27: a leader serves reads from its own state without asking anybody."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        status = self.status()
        if status.role is not Role.LEADER:
            return super().step(given, now_us)
        reads = [event for event in given if isinstance(event, events.ReadRequested)]
        ordered = super().step(
            [event for event in given if not isinstance(event, events.ReadRequested)], now_us
        )
        served: list[actions.Action] = [
            actions.ServeRead(requests=(event.request,), read_index=status.applied_index) for event in reads
        ]
        return served + ordered


def commits_earlier_terms(patch: pytest.MonkeyPatch) -> None:
    """7: entries of earlier terms are committed by counting (figure 8)."""

    def advance(raft: Any, office: Any) -> None:
        def match(node: NodeId) -> int:
            if node == raft.node_id:
                return int(raft.disk.persisted_index)
            return int(office.progress[node].match_index) if node in office.progress else 0

        raft.commit_index = Index(max(raft.commit_index, raft.membership.committed(match)))

    patch.setattr("ferrite.core.replica.advance_commit_by_quorum", advance)


def truncates_always(patch: pytest.MonkeyPatch) -> None:
    """12: every append cuts the log, also where it agrees."""

    def merge(raft: Any, prev_index: Index, entries: tuple[Entry, ...]) -> bool:
        if entries and prev_index < raft.log.last_index and prev_index + 1 > raft.log.base_index:
            raft.truncate(Index(prev_index + 1))
        if entries:
            raft.append(entries)
        return True

    patch.setattr("ferrite.core.appending._merge", merge)


def learners_count(patch: pytest.MonkeyPatch) -> None:
    """20: learners count in the commit quorum."""
    honest = Membership.committed

    def committed(self: Membership, match: Any) -> int:
        return honest(replace(self, voters=tuple(sorted((*self.voters, *self.learners)))), match)

    patch.setattr(Membership, "committed", committed)


def joint_needs_new_majority_only(patch: pytest.MonkeyPatch) -> None:
    """21: a joint configuration asks the incoming voters only."""
    honest = Membership.committed
    patch.setattr(Membership, "committed", lambda self, match: honest(replace(self, outgoing=()), match))


def sessions_forget(patch: pytest.MonkeyPatch) -> None:
    """26, its cause: a repeated request runs again."""

    def run(_self: Any, _session: Any, _crc32: int, execute: Any) -> Any:
        return execute()

    patch.setattr("ferrite.core.kv.sessions.Sessions.run_once", run)


def snapshots_omit_sessions(patch: pytest.MonkeyPatch) -> None:
    """26: a snapshot without the session table (table 50 of the layout, 51 beside it)."""
    from ferrite.core.kv import replicated_pairs

    def pairs(store: Any, group_id: int) -> Any:
        return (pair for pair in replicated_pairs(store, group_id) if pair[0][4:5] not in (b"\x50", b"\x51"))

    patch.setattr("ferrite.sim.state_thread.replicated_pairs", pairs)
