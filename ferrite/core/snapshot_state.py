"""Which snapshot exists here, which is being built, and which is being received."""

from __future__ import annotations

from dataclasses import dataclass

from ferrite.core.values import NO_NODE, NodeId, SnapshotMeta


@dataclass(slots=True)
class SnapshotState:
    """Sending and receiving side; both survive a change of leader only as far as it is safe and useful."""

    saved: SnapshotMeta | None = None
    """The newest verified file here."""
    save_outstanding: bool = False
    save_retry_us: int = 0
    """After one that failed, the next is not ordered before this time (a heartbeat wakes the leader)."""
    incoming: SnapshotMeta | None = None
    """The file being received; `next_offset` is the byte wanted next."""
    next_offset: int = 0
    sender: NodeId = NO_NODE
    complete: bool = False
    """All bytes are there; `InstallSnapshot` is ordered as soon as nothing else uses the state store."""
    install_outstanding: bool = False

    @property
    def installing(self) -> bool:
        """Is the state store about to be replaced?"""
        return self.complete or self.install_outstanding
