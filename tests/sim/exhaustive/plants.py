"""Planted bugs for the exhaustive search: replicas that lie at their border, or one function of the core replaced."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ferrite.core import HardState, Index, Recovered, Replica, ReplicaConfig, actions, events, messages


class GrantsEveryVote(Replica):
    """Whoever asks is told that it has the vote."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        for place, action in enumerate(ordered):
            if isinstance(action, actions.Send) and isinstance(action.message, messages.RequestVoteResponse):
                granted = replace(action.message, vote_granted=True)
                ordered[place] = actions.Send(to=action.to, message=granted)
        return ordered


class ForgetsItsVote(Replica):
    """After a restart the term is remembered, the vote is not."""

    def __init__(self, config: ReplicaConfig, recovered: Recovered, now_us: int) -> None:
        old = recovered.log.hard_state
        forgotten = HardState(cluster_id=old.cluster_id, term=old.term)
        super().__init__(config, replace(recovered, log=replace(recovered.log, hard_state=forgotten)), now_us)


class SpeaksBeforeItIsDurable(Replica):
    """What is ordered to be written is taken for written at once."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        for action in list(ordered):
            if isinstance(action, actions.Persist):
                ordered += super().step([events.Persisted(write_seq=action.write_seq)], now_us)
        return ordered


def length_decides(patch: pytest.MonkeyPatch) -> None:
    """The longer log wins a vote, whatever its last term."""

    def is_up_to_date(log: Any, last_log_index: int, _last_log_term: int) -> bool:
        return bool(last_log_index >= log.last_index)

    patch.setattr("ferrite.core.raft_log.RaftLog.is_up_to_date", is_up_to_date)


def accepts_any_previous_term(patch: pytest.MonkeyPatch) -> None:
    """An append is accepted wherever the log is long enough."""
    from ferrite.core import appending

    honest = appending.on_append_entries

    def on_append_entries(raft: Any, header: Any, message: messages.AppendEntries) -> None:
        found = raft.log.term_at(message.prev_log_index)
        honest(raft, header, message if found is None else replace(message, prev_log_term=found))

    patch.setitem(_handlers(), messages.AppendEntries, on_append_entries)


def takes_a_refusal_for_success(patch: pytest.MonkeyPatch) -> None:
    """The leader counts a refused append as one that was accepted."""
    from ferrite.core import replication

    honest = replication.on_append_entries_response

    def on_response(raft: Any, header: Any, message: messages.AppendEntriesResponse) -> None:
        if not message.success and message.prev_log_index:
            message = replace(message, success=True, match_index=Index(message.prev_log_index + 1))
        honest(raft, header, message)

    patch.setitem(_handlers(), messages.AppendEntriesResponse, on_response)


def counts_earlier_terms(patch: pytest.MonkeyPatch) -> None:
    """Entries of earlier terms are committed by counting (figure 8)."""

    def advance(raft: Any, office: Any) -> None:
        def match(node: int) -> int:
            if node == raft.node_id:
                return int(raft.disk.persisted_index)
            return int(office.progress[node].match_index) if node in office.progress else 0

        raft.commit_index = Index(max(raft.commit_index, raft.membership.committed(match)))

    patch.setattr("ferrite.core.replica.advance_commit_by_quorum", advance)


def _handlers() -> dict[type[Any], Any]:
    from ferrite.core import replica

    return replica._ON_MESSAGE
