"""The real node's hand for `Housekeeper`: asks it when it wants to be asked, and proposes what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from ferrite.core import Identity, actions, events
from ferrite.core.kv import (
    AutoCompaction,
    CommandFailed,
    Compact,
    Housekeeper,
    HousekeepingCommand,
    HousekeepingConfig,
    MachineFacts,
    SetNoSpace,
    encode_command,
)
from ferrite.io.config import Config
from ferrite.io.node import Node, Outcome, now_us

RETRY_S: Final = 1.0
"""After a proposal that was not carried out: the cluster has other worries."""

_log = structlog.get_logger(__name__)


def housekeeping_config(config: Config) -> HousekeepingConfig:
    """Return the configured policy."""
    storage = config.storage
    mode = AutoCompaction(storage.auto_compaction_mode)
    kept = storage.auto_compaction_retention
    return HousekeepingConfig(
        quota_bytes=storage.quota_bytes,
        auto_compaction=mode,
        retention=kept * 1000 if mode is AutoCompaction.AGE else kept,
    )


class Housekeeping:
    """Runs from `start` to `close`, on the loop. A node that does not lead only takes samples."""

    def __init__(
        self,
        node: Node,
        *,
        identity: Identity,
        facts: Callable[[], MachineFacts],
        config: HousekeepingConfig,
        timeout_ms: int,
    ) -> None:
        """`facts` are the state's; a proposal has `timeout_ms`."""
        self._node = node
        self._origin = (identity.node_id, identity.boot)
        self._facts = facts
        self._keeper = Housekeeper(config)
        self._timeout_us = timeout_ms * 1000
        self._timer: asyncio.TimerHandle | None = None
        self._outcome: asyncio.Future[Outcome] | None = None

    def start(self) -> None:
        """Begin."""
        self._again(0.0)

    def close(self) -> None:
        """Propose nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._outcome is not None:
            self._outcome.cancel()

    def _again(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        if self._node.stopped:
            return
        at_us = now_us()
        command, wait_us = self._keeper.consider(self._node.replica.cluster_time_us(at_us), self._facts())
        if command is None:
            self._again(wait_us / 1_000_000)
            return
        _tell(command)
        request = self._node.next_request()
        encoded = encode_command(command, origin=(*self._origin, request))
        self._outcome = self._node.ask(
            request,
            events.ProposalReceived(request=request, command=encoded, deadline_us=at_us + self._timeout_us),
        )
        self._outcome.add_done_callback(self._done)

    def _done(self, outcome: asyncio.Future[Outcome]) -> None:
        self._outcome = None
        if outcome.cancelled():
            return
        answer = outcome.result()
        done = isinstance(answer, actions.Reply) and not isinstance(answer.result, CommandFailed)
        if not done:
            _log.debug("housekeeping was not carried out", answer=answer)
        self._again(0.0 if done else RETRY_S)


def _tell(command: HousekeepingCommand) -> None:
    match command:
        case SetNoSpace(on=True):
            _log.error(
                "the space quota is exceeded: puts are refused until history is compacted or keys are deleted"
            )
        case SetNoSpace():
            _log.info("there is space again: puts are accepted")
        case Compact(revision=revision):
            _log.info("history is compacted", revision=revision)
        case _:
            pass
