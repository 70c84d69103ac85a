"""The pieces of snapshots on their way: S24. One English sentence above each check."""

from __future__ import annotations

from typing import Final

from ferrite.core import NodeId, messages
from ferrite.sim.checks.shared import LEADER, Checks, Sending

CHUNKS_MAX: Final = 32
"""How often one piece of a snapshot may be sent to one peer within a heartbeat interval: duplicated answers ask a few times."""
DEAF_MAX: Final = 5
"""How often in a row one piece may be sent though an answer to the last time asked for an earlier one. A sender goes back once
its piece was sent again after its time, so two are common, and more come of old answers that arrive in between.
"""


def chunk_sent(checks: Checks, node: NodeId, to: NodeId, message: messages.InstallSnapshot) -> None:
    """A piece of a snapshot leaves a leader."""
    now_us, _ = checks.now()
    chunks = checks.seen[node].chunks
    name = (to, message.snapshot.snapshot_id, message.offset)
    since_us, count = chunks.get(name, (now_us, 0))
    if now_us - since_us > checks.config.heartbeat_interval_us:
        since_us, count = now_us, 0
    chunks[name] = (since_us, count + 1)
    # S24: nothing is resent without bound (TFTP's sorcerer's apprentice).
    if count >= CHUNKS_MAX:
        checks.fail(
            "S24",
            "One piece of a snapshot is not sent again and again within a heartbeat interval.",
            f"node {node} to {to}: offset {message.offset} for the {count + 1}th time since {since_us} us",
        )
    _goes_back(checks, node, to, message)


def _goes_back(checks: Checks, node: NodeId, to: NodeId, message: messages.InstallSnapshot) -> None:
    sendings = checks.seen[node].sendings
    piece = (message.term, message.snapshot.snapshot_id, message.offset)
    sending = sendings.get(to)
    if sending is None or sending.piece != piece:
        sendings[to] = Sending(piece=piece)
        return
    sending.deaf += sending.asked_back
    sending.asked_back = False
    # S24: a receiver that lost or refused what it had is heard in the end.
    if sending.deaf >= DEAF_MAX:
        checks.fail(
            "S24",
            "Who sends a snapshot goes back to the piece that its receiver asks for.",
            f"node {node} to {to}: offset {message.offset} again, after {sending.deaf} answers that asked for an earlier one",
        )


def chunk_answered(
    checks: Checks, node: NodeId, source: NodeId, message: messages.InstallSnapshotResponse
) -> None:
    """An answer to a piece of a snapshot has arrived."""
    seen = checks.seen[node]
    sending, status = seen.sendings.get(source), seen.status
    if sending is None or status is None or status.role is not LEADER or message.installed:
        return
    term, snapshot_id, offset = sending.piece
    if (
        message.term == term == status.term
        and message.snapshot_id == snapshot_id
        and message.next_offset < offset
    ):
        sending.asked_back = True
