"""Who may speak to this node: every frame names the incarnations of its source and of its target (DR8)."""

from __future__ import annotations

from ferrite.core.messages import Header
from ferrite.core.raft import Raft
from ferrite.core.values import NO_CLUSTER, NO_NODE


def check_header(raft: Raft, header: Header) -> str | None:
    """Return why a frame is not for this node, or not from a member (DR8), or None."""
    own = raft.identity
    if header.group_id != 0:
        return f"group {header.group_id} is not served here"
    if header.target != own.node_id or header.target_instance != own.instance:
        return (
            f"meant for node {header.target} with data directory {header.target_instance.hex()}; this is node "
            f"{own.node_id} with data directory {own.instance.hex()}. A wiped or copied node must join with a new id"
        )
    if header.source in (NO_NODE, own.node_id):
        return f"comes from node {header.source}, which is nobody's id or this node's own"
    if header.cluster_id == NO_CLUSTER:
        return "the sender belongs to no cluster"
    if raft.initialized and header.cluster_id != raft.hard_state.cluster_id:
        return f"comes from cluster {header.cluster_id.hex()}; this node is in {raft.hard_state.cluster_id.hex()}"
    instance = raft.instance_of(header.source)
    if instance != header.source_instance and instance is not None:
        return (
            f"node {header.source} is known with another data directory than {header.source_instance.hex()}"
        )
    if header.source_boot < raft.boots_seen.get((header.source, header.source_instance), 0):
        return f"from boot {header.source_boot} of node {header.source}, which has started again since"
    return None


def note_boot(raft: Raft, header: Header) -> None:
    """Take note of the incarnation that speaks, and that it was found to be in order."""
    key = (header.source, header.source_instance)
    if raft.instances_seen.get(header.source) != header.source_instance:
        raft.remember_instance(header.source, header.source_instance)
    raft.accepted[header.source] = header  # After the line before, which forgets all of them.
    if header.source_boot > raft.boots_seen.get(key, 0):
        raft.boots_seen[key] = header.source_boot
        office = raft.office
        progress = office.progress.get(header.source) if office else None
        if progress:
            progress.to_probe()  # What was in flight went to an incarnation that is gone.
