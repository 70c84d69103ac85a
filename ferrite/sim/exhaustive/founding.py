"""The cluster that every path begins with: founded, equal logs of one committed entry, nobody leads."""

from __future__ import annotations

from typing import Final

from ferrite.core import (
    Entry,
    EntryKind,
    HardState,
    Member,
    Membership,
    Replica,
    Term,
    actions,
    encode_membership,
    encode_payload,
)
from ferrite.sim.checks.ghost import START_CHAIN, apply_to, next_chain
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.exhaustive.host import CONFIG, FOUNDED_INDEX, Disk, Host, Setting
from ferrite.sim.exhaustive.steps import node_id

_CLUSTER: Final = b"exhaustive mode."
_FIRST_TERM: Final = Term(1)


def new_setting(nodes: int, replica_class: type[Replica]) -> Setting:
    """Return what the nodes of a cluster of this size share."""
    ids = [node_id(number) for number in range(1, nodes + 1)]
    instances = {node: node.to_bytes(16, "big") for node in ids}
    members = {node: Member(node_id=node, instance=instances[node], peer_addr=str(node)) for node in ids}
    membership = Membership(voters=tuple(ids), members=members)
    payload = encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(membership))
    return Setting(
        membership=membership,
        founding=Entry(_FIRST_TERM, payload),
        instances=instances,
        cluster_id=_CLUSTER,
        replica_class=replica_class,
    )


def founded_hosts(setting: Setting) -> list[Host]:
    """Return the nodes, still down."""
    hard_state = HardState(cluster_id=setting.cluster_id, term=_FIRST_TERM)
    return [
        Host(node=node, disk=Disk(hard_state=hard_state, log=[setting.founding]))
        for node in setting.membership.voters
    ]


def founded_checks(setting: Setting) -> Invariants:
    """Return checks that know the founding entry as committed, applied and durable everywhere."""
    invariants = Invariants(CONFIG, lambda: (0, 0))
    ghost, founding = invariants.ghost, setting.founding
    chain = next_chain(START_CHAIN, founding)
    ghost.chain_of[FOUNDED_INDEX, founding.term] = chain
    ghost.entry_of[chain] = founding
    ghost.committed.append(chain)
    ghost.committed_terms.append(founding.term)
    ghost.committed_memberships.append((FOUNDED_INDEX, founding.payload))
    ghost.commits_by_term[founding.term] = FOUNDED_INDEX
    order = actions.Persist(write_seq=0, first_index=FOUNDED_INDEX, entries=(founding,))
    for host in founded_hosts(setting):
        disk = ghost.disk(host.node)
        apply_to(disk.durable, order, [chain], START_CHAIN)
        disk.hard_state = host.disk.hard_state
        disk.flushed_index = FOUNDED_INDEX
    return invariants
