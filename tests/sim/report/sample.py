"""A made-up run in the form of a recording: five nodes that elect, replicate, crash, pause and are cut apart, clients, and at the
end a violation. It looks like Raft and is none: views only need rows whose causes and times are right.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from ferrite.sim.recording import Recording, Row

NODES = (1, 2, 3, 4, 5)
HEARTBEAT_US = 50_000
FACTS = "node 4 lacks entry 3, which node 1 had acknowledged </script><b>as committed</b> & applied"


class Machine:
    """One made-up node."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.boot = 0
        self.up = self.paused = False
        self.heard_us = 0
        self.shown: dict[str, Any] | None = None
        self.state: dict[str, Any] = {
            "role": "follower",
            "term": 0,
            "leader": 0,
            "commit": 0,
            "applied": 0,
            "persisted": 0,
            "last": 0,
            "voters": list(NODES),
            "outgoing": [],
            "learners": [],
        }


class Sample:
    """Writes the rows. Faults strike at fixed fractions of the run, so that every kind of row is there."""

    def __init__(self, *, seed: int, until_us: int, clients: int, violation: bool) -> None:
        self.dice = random.Random(seed)
        self.until_us = until_us
        self.recording = Recording()
        self.now_us = 0
        self.machines = {node: Machine(node) for node in NODES}
        self.blocked: set[tuple[int, int]] = set()
        self.heap: list[tuple[int, int, Callable[[], object]]] = []
        self.count = self.operations = 0
        self.waiting: dict[int, tuple[int, str]] = {}
        self.points: list[tuple[int, int]] = []
        self.add(
            "run", version=1, seed=seed, nodes=list(NODES), voters=list(NODES), commit="0" * 40, options={}
        )
        for node in NODES:
            self.boot(node)
        for client in range(clients):
            self.at(300_000 + 1000 * client, partial(self.invoke, f"c{client}"))
        self.schedule_faults()
        self.play()
        self.finish(violation=violation)

    def add(self, row: str, **fields: Any) -> int:
        return self.recording.add(row, self.now_us, **fields)

    def at(self, time_us: int, happen: Callable[[], object]) -> None:
        self.count += 1
        heapq.heappush(self.heap, (time_us, self.count, happen))

    def after(self, delay_us: int, happen: Callable[[], object]) -> None:
        self.at(self.now_us + delay_us, happen)

    def play(self) -> None:
        while self.heap and self.heap[0][0] <= self.until_us:
            self.now_us, _, happen = heapq.heappop(self.heap)
            happen()
        self.now_us = self.until_us

    def finish(self, *, violation: bool) -> None:
        if violation:
            cause = max(row["id"] for row in self.recording.rows if row["row"] == "step" and row["node"] == 4)
            self.add(
                "violation",
                name="S10",
                kind="safety",
                sentence="What was committed stays in every later leader's log.",
                facts=FACTS,
                node=4,
                cause=cause,
            )
        for point_us, operation in self.points:
            self.recording.add("point", point_us, operation=operation)
        steps = sum(row["row"] == "step" for row in self.recording.rows)
        verdict = "safety" if violation else "clean"
        self.add("end", verdict=verdict, digest="ab" * 16, events=self.count, steps=steps)

    # -- faults -----------------------------------------------------------------------------------------------

    def schedule_faults(self) -> None:
        parts = [self.until_us * part // 10 for part in range(10)]
        self.at(parts[2], lambda: self.crash(1, "power loss", parts[3]))
        self.at(parts[4], lambda: self.partition([(2, 3), (2, 4), (2, 5), (3, 2), (4, 2), (5, 2)], parts[5]))
        self.at(parts[6], lambda: self.pause(3, parts[7] - parts[6]))
        self.at(
            parts[7],
            lambda: self.fault("disk:0", "fsync-error", parts[7], [5], "sync of node 5 fails with EIO"),
        )
        self.at(parts[7] + 10, lambda: self.crash(5, "stop 74", parts[8]))
        self.at(parts[8], lambda: self.crash(4, "power loss", parts[8] + 400_000))
        self.at(
            parts[8] + 50, lambda: self.fault("slow:1", "slow-disk", parts[9], [2], "node 2's disk is slow")
        )

    def fault(self, name: str, kind: str, until: int, nodes: list[int], text: str) -> int:
        return self.add("fault", fault=name, kind=kind, until=until, nodes=nodes, links=[], text=text)

    def crash(self, node: int, why: str, back_us: int) -> None:
        self.fault(f"crash:{node}", "crash", back_us, [node], f"crash of node {node}: {why}")
        machine = self.machines[node]
        machine.up = False
        self.add("down", node=node, why=why)
        machine.state["last"] = machine.state["persisted"]
        self.at(back_us, lambda: self.boot(node))

    def partition(self, links: list[tuple[int, int]], until_us: int) -> None:
        pairs = [list(link) for link in links]
        text = "node 2 is cut off"
        self.add(
            "fault", fault="partition:0", kind="partition", until=until_us, nodes=[], links=pairs, text=text
        )
        self.blocked.update(links)
        self.at(until_us, lambda: self.blocked.difference_update(links))

    def pause(self, node: int, length_us: int) -> None:
        self.fault("pause:0", "pause", self.now_us + length_us, [node], f"node {node} is paused")
        self.machines[node].paused = True
        self.add("paused", node=node)

        def resume() -> None:
            self.machines[node].paused = False
            self.add("resumed", node=node)
            self.arm(node)

        self.after(length_us, resume)

    # -- nodes ------------------------------------------------------------------------------------------------

    def boot(self, node: int) -> None:
        machine = self.machines[node]
        machine.boot += 1
        machine.up, machine.shown = True, None
        machine.state.update(
            role="follower", leader=0, applied=min(machine.state["applied"], machine.state["last"])
        )
        state = machine.state
        self.add(
            "boot",
            node=node,
            boot=machine.boot,
            last=state["last"],
            applied=state["applied"],
            term=state["term"],
        )
        machine.heard_us = self.now_us
        self.arm(node)

    def arm(self, node: int) -> None:
        machine, boot = self.machines[node], self.machines[node].boot
        delay_us = HEARTBEAT_US if machine.state["role"] == "leader" else self.dice.randint(150_000, 300_000)

        def timer() -> None:
            if machine.boot != boot or not machine.up or machine.paused:
                return
            if machine.state["role"] == "leader":
                self.replicate(node, [], "timer")
            elif self.now_us - machine.heard_us >= 150_000:
                self.campaign(node)
            self.arm(node)

        self.after(delay_us, timer)

    def step(self, node: int, cause: list[int], events: list[str], actions: list[str]) -> int:
        machine = self.machines[node]
        fields: dict[str, Any] = {}
        if machine.state != machine.shown:
            machine.shown = dict(machine.state)
            fields["state"] = dict(machine.state)
        return self.add("step", node=node, cause=cause, events=events, actions=actions, **fields)

    def campaign(self, node: int) -> None:
        state = self.machines[node].state
        state.update(role="candidate", term=state["term"] + 1, leader=0)
        step = self.step(
            node, [], [], [f"Persist term {state['term']} vote {node}", "Send RequestVote to all"]
        )
        votes = {node}
        for peer in NODES:
            if peer != node:
                text = f"RequestVote term {state['term']} last {state['last']}"
                self.frame(node, peer, step, text, partial(self.vote, node, peer, votes))

    def vote(self, node: int, peer: int, votes: set[int], arrive: int) -> None:
        asked, state = self.machines[node].state, self.machines[peer].state
        if asked["term"] <= state["term"]:
            self.step(peer, [arrive], [f"RequestVote from {node}"], [])
            return
        state.update(role="follower", term=asked["term"], leader=0)
        self.machines[peer].heard_us = self.now_us
        step = self.step(
            peer, [arrive], [f"RequestVote from {node}"], [f"Persist term {state['term']} vote {node}"]
        )
        durable = self.add("disk", node=peer, cause=step, text=f"vote for node {node} is durable")
        step = self.step(peer, [durable], ["Persisted"], [f"Send RequestVoteResponse to {node}"])

        def granted(arrived: int) -> None:
            votes.add(peer)
            if asked["role"] == "candidate" and len(votes) >= 3:
                asked.update(role="leader", leader=node, last=asked["last"] + 1)
                self.replicate(node, [arrived], f"RequestVoteResponse from {peer}")

        self.frame(peer, node, step, f"RequestVoteResponse term {state['term']} granted", granted)

    def replicate(self, node: int, cause: list[int], event: str) -> None:
        state = self.machines[node].state
        state["persisted"] = state["last"]
        behind = state["last"] > state["commit"]
        name = "AppendEntries" if behind else "Heartbeat"
        step = self.step(node, cause, [] if event == "timer" else [event], [f"Send {name} to all"])
        acks = {node}
        for peer in NODES:
            if peer != node:
                text = f"{name} term {state['term']} prev {state['commit']} last {state['last']} commit {state['commit']}"
                self.frame(node, peer, step, text, partial(self.append, node, peer, state["last"], acks))

    def append(self, node: int, peer: int, end: int, acks: set[int], arrive: int) -> None:
        leader, state = self.machines[node].state, self.machines[peer].state
        if leader["term"] < state["term"]:
            return
        self.machines[peer].heard_us = self.now_us
        committed = min(leader["commit"], end)
        new = end > state["last"]
        state.update(role="follower", term=leader["term"], leader=node, last=max(end, state["last"]))
        state.update(persisted=state["last"], commit=max(committed, state["commit"]))
        state["applied"] = state["commit"]
        step = self.step(peer, [arrive], [f"AppendEntries from {node}"], [f"Persist {end}"] if new else [])
        if new:
            durable = self.add("disk", node=peer, cause=step, text=f"entries up to {end} are durable")
            step = self.step(peer, [durable], ["Persisted"], [f"Send AppendEntriesResponse to {node}"])
        text = f"AppendEntriesResponse term {state['term']} match {end}"
        self.frame(peer, node, step, text, partial(self.acknowledged, node, peer, end, acks))

    def acknowledged(self, node: int, peer: int, end: int, acks: set[int], arrive: int) -> None:
        state = self.machines[node].state
        acks.add(peer)
        advanced = state["role"] == "leader" and len(acks) >= 3 and end > state["commit"]
        first = state["commit"] + 1
        if advanced:
            state["commit"] = state["applied"] = end
        step = self.step(
            node, [arrive], [f"AppendEntriesResponse from {peer}"], ["Apply"] if advanced else []
        )
        if advanced:
            self.add("commit", node=node, first=first, last=end, term=state["term"])
            self.answer(end, step)

    def frame(self, source: int, target: int, step: int, text: str, handle: Callable[[int], None]) -> None:
        send = self.add(
            "send", source=source, target=target, cause=step, messages=[text], bytes=80 + len(text)
        )
        if (source, target) in self.blocked or self.dice.random() < 0.02:
            why = "partition" if (source, target) in self.blocked else "loss"
            self.after(self.dice.randint(100, 3000), lambda: self.lost(send, why))
            return
        delay_us = self.dice.randint(800, 12_000)
        damaged = self.dice.random() < 0.005
        self.after(delay_us, lambda: self.arrive(send, target, handle, damaged=damaged))
        if self.dice.random() < 0.01:
            self.after(delay_us * 3, lambda: self.arrive(send, target, handle, damaged=False))

    def lost(self, send: int, why: str) -> None:
        self.add("lost", send=send, why=why)

    def arrive(self, send: int, target: int, handle: Callable[[int], None], *, damaged: bool) -> None:
        machine = self.machines[target]
        if not machine.up:
            self.lost(send, "down")
            return
        arrived = self.add("arrive", send=send, node=target, damaged=damaged)
        if not damaged and not machine.paused:
            handle(arrived)

    # -- clients ----------------------------------------------------------------------------------------------

    def invoke(self, client: str) -> None:
        number, key = self.operations, f"k{self.dice.randint(0, 9)}"
        self.operations += 1
        kind = self.dice.choice(("put", "get", "cas"))
        value = f"v{number}" if kind != "get" else None
        invoked = self.add("invoke", operation=number, client=client, kind=kind, key=key, value=value)
        target = self.dice.choice(NODES)
        attempt = self.add("attempt", operation=number, node=target, cause=invoked)
        machine = self.machines[target]
        if machine.up and not machine.paused and machine.state["role"] == "leader":
            machine.state["last"] += 1
            self.waiting[machine.state["last"]] = (number, client)
            self.replicate(target, [attempt], f"ProposalReceived {number}")
            self.after(400_000, lambda: self.give_up(number, client))
        else:
            self.after(3_000, lambda: self.refuse(number, client))

    def answer(self, end: int, step: int) -> None:
        for index in [index for index in self.waiting if index <= end]:
            number, client = self.waiting.pop(index)
            self.points.append((self.now_us, number))
            self.after(
                2_000,
                partial(self.complete, number, client, "ok", index),
            )

    def give_up(self, number: int, client: str) -> None:
        for index, (operation, _) in list(self.waiting.items()):
            if operation == number:
                del self.waiting[index]
                self.complete(number, client, "info", 0)

    def refuse(self, number: int, client: str) -> None:
        self.complete(number, client, "fail", 0, "NOT_LEADER")

    def complete(self, number: int, client: str, outcome: str, revision: int, detail: str = "") -> None:
        self.add("complete", operation=number, outcome=outcome, value=None, revision=revision, detail=detail)
        self.after(self.dice.randint(5_000, 60_000), lambda: self.invoke(client))


def sample_rows(
    *, seed: int = 7, until_us: int = 5_000_000, clients: int = 4, violation: bool = True
) -> list[Row]:
    """About 4,000 rows a second with four clients."""
    return Sample(seed=seed, until_us=until_us, clients=clients, violation=violation).recording.rows
