"""Recordings of a few rows, for stories whose end is known."""

from typing import Any

from ferrite.sim.recording import Recording, Row


def run(*, nodes: tuple[int, ...] = (1, 2, 3)) -> Recording:
    recording = Recording()
    recording.add(
        "run", 0, version=1, seed=3, nodes=list(nodes), voters=list(nodes), commit="c0ffee", options={}
    )
    return recording


def state(role: str = "follower", term: int = 1, **changed: Any) -> dict[str, Any]:
    fresh: dict[str, Any] = {
        "role": role,
        "term": term,
        "leader": 0,
        "commit": 0,
        "applied": 0,
        "persisted": 0,
        "last": 0,
        "voters": [1, 2, 3],
        "outgoing": [],
        "learners": [],
    }
    return fresh | changed


def boot(recording: Recording, t: int, node: int, *, number: int = 1, last: int = 0) -> int:
    return recording.add("boot", t, node=node, boot=number, last=last, applied=0, term=0)


def step(recording: Recording, t: int, node: int, *cause: int, **fields: Any) -> int:
    told = {"events": [], "actions": []} | fields
    return recording.add("step", t, node=node, cause=list(cause), **told)


def send(
    recording: Recording, t: int, source: int, target: int, cause: int, text: str = "Heartbeat term 1"
) -> int:
    return recording.add("send", t, source=source, target=target, cause=cause, messages=[text], bytes=50)


def arrive(recording: Recording, t: int, sent: int, node: int, *, damaged: bool = False) -> int:
    return recording.add("arrive", t, send=sent, node=node, damaged=damaged)


def fault(recording: Recording, t: int, name: str, until: int, *nodes: int, links: Any = ()) -> int:
    kind = name.partition(":")[0]
    return recording.add(
        "fault", t, fault=name, kind=kind, until=until, nodes=list(nodes), links=list(links), text=f"a {kind}"
    )


def violation(recording: Recording, t: int, node: int, cause: int) -> int:
    return recording.add(
        "violation",
        t,
        name="S10",
        kind="safety",
        sentence="Nothing is lost.",
        facts="entry 3",
        node=node,
        cause=cause,
    )


def lost_votes() -> list[Row]:
    """Node 1 leads, node 2 loses power and comes back, node 3 hears nothing behind a partition and campaigns, node 2 votes."""
    recording = run()
    for node in (1, 2, 3):
        boot(recording, 0, node)
    elected = step(recording, 10, 1, state=state("leader", 1, leader=1), actions=["Send AppendEntries"])
    frame = send(recording, 10, 1, 2, elected, "AppendEntries term 1")
    got = arrive(recording, 20, frame, 2)
    step(recording, 20, 2, got, events=["AppendEntries from 1"], state=state(term=1, leader=1, last=3))
    fault(recording, 30, "crash:0", 50, 2)
    recording.add("down", 30, node=2, why="power loss")
    boot(recording, 50, 2, number=2)
    fault(recording, 60, "partition:0", 200, links=[[1, 3], [3, 1]])
    missed = send(recording, 70, 1, 3, elected)
    recording.add("lost", 75, send=missed, why="partition")
    campaign = step(recording, 100, 3, actions=["Send RequestVote"], state=state("candidate", 2))
    ask = send(recording, 100, 3, 2, campaign, "RequestVote term 2")
    asked = arrive(recording, 110, ask, 2)
    vote = step(recording, 110, 2, asked, events=["RequestVote from 3"], state=state(term=2, last=0))
    violation(recording, 110, 2, vote)
    recording.add("end", 110, verdict="safety", digest="00" * 16, events=20, steps=4)
    return recording.rows
