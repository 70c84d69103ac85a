import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ferrite.core import (
    NO_CLUSTER,
    AddLearner,
    Consistency,
    Index,
    NodeId,
    RefusalCode,
    Role,
    actions,
    events,
)
from ferrite.core.kv import (
    CommandErrorCode,
    CommandFailed,
    Get,
    GetResult,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    Put,
    PutResult,
    Session,
    WatchSpec,
    decode_command,
    encode_command,
)
from ferrite.io.config import Config, Override, load_config
from ferrite.io.identify import IdentifyFailed
from ferrite.io.node import now_us
from ferrite.io.node_identity import NodeIdentity
from ferrite.io.node_status import NodeView, Sources
from ferrite.io.request_path import CommandRejected, MemberAddress, OutcomeUnknown, RequestRefused
from ferrite.io.requests import NodeRequests
from tests.io.backup.fakes import FakeBackup
from tests.io.node_fakes import (
    INSTANCE,
    FakeWatchedState,
    Rig,
    announce,
    facts,
    identity,
    membership,
    status,
    watches,
)

PUT = Put(key=b"k", value=b"v")


def config_of(tmp_path: Path, **settings: str) -> Config:
    overrides = [
        Override(key=name.replace("__", "."), text=text, option="--set") for name, text in settings.items()
    ]
    return load_config(None, environment={"FERRITE_NODE__DATA_DIR": str(tmp_path)}, overrides=overrides)


def presence(node_id: int, cluster_id: bytes = NO_CLUSTER) -> NodeIdentity:
    return NodeIdentity(
        node_id=node_id, instance=bytes([node_id]) * 16, cluster_id=cluster_id, version="0",
        http_addr=f"127.0.0.1:80{node_id:02}", grpc_addr=f"127.0.0.1:90{node_id:02}", peer_addr=f"127.0.0.1:90{node_id:02}",
    )  # fmt: skip


class Desk(Rig):
    """A rig with its request path; `there` is who answers at which address."""

    def __init__(self, config: Config, there: Mapping[str, NodeIdentity]) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.backup = FakeBackup()

        async def identify(address: str) -> NodeIdentity:
            self.asked.append(address)
            await asyncio.sleep(0)
            if address not in there:
                raise IdentifyFailed(address, ["connection refused"])
            return there[address]

        self.watched = FakeWatchedState()
        self.watches = watches(self.watched, self.node)
        sources = Sources(
            facts=lambda: self.watched.facts,
            watchers=lambda: self.watches.count,
            counters=lambda: {"frames": 5},
            problems=lambda: ["disk: slow"],
            warnings=lambda: ["node 2 refuses this node"],
        )
        self.view = NodeView(self.node, config=config, identity=identity(), sources=sources)
        self.path = NodeRequests(
            self.node,
            config=config,
            identity=identity(),
            identify=identify,
            view=self.view,
            watches=self.watches,
            begin_backup=lambda: self.backup,
        )

    def answers(self, outcome: actions.Reply | actions.Refuse | actions.Abandon) -> None:
        """Give each request this answer, with its own number; reads are served."""

        def answer(facts: list[events.Event]) -> list[actions.Action]:
            for fact in facts:
                request = getattr(fact, "request", None)
                if request is None:
                    continue
                if isinstance(fact, events.ReadRequested):
                    return [actions.ServeRead(requests=(request,), read_index=Index(1))]
                return [replace(outcome, request=request)]
            return []

        self.replica.answer = answer


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_of(tmp_path)


@pytest.fixture
async def desk(config: Config) -> AsyncIterator[Desk]:
    there = {
        "127.0.0.1:9002": presence(2),
        "127.0.0.1:8003": presence(3),
        "127.0.0.1:9003": presence(3),
        "127.0.0.1:9004": presence(4, b"x" * 16),
    }
    desk = Desk(config, there)
    desk.orders(announce(2))
    await desk.until(lambda: desk.node.announced)
    yield desk
    await desk.node.close()


def reply(result: object) -> actions.Reply:
    return actions.Reply(request=0, result=result)  # type: ignore[arg-type]  # the number is put in


def refuse(code: RefusalCode, leader: int = 0) -> actions.Refuse:
    return actions.Refuse(request=0, code=code, detail="why", leader=NodeId(leader))  # type: ignore[arg-type]  # the number is put in


# ------------------------------------------------------------------------------------------------ clients


async def test_a_write_is_encoded_once_with_its_origin_and_answered_with_the_leader(desk: Desk) -> None:
    desk.answers(reply(PutResult(revision=9)))
    session = Session(client_id=b"me", request_id=3)
    before_us = now_us()
    answered = await desk.path.write(PUT, session=session, timeout_ms=1000)
    assert answered.result == PutResult(revision=9)
    assert (answered.leader_id, answered.leader_http_addr, answered.leader_grpc_addr) == (
        2,
        "127.0.0.1:8002",
        "127.0.0.1:9002",
    )
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.ProposalReceived)]
    assert event.command == encode_command(PUT, origin=(NodeId(1), 3, event.request), session=session)
    assert event.deadline_us >= before_us + 1_000_000


async def test_the_configured_time_limit_holds_when_the_client_names_none(desk: Desk) -> None:
    desk.answers(reply(PutResult(revision=9)))
    before_us = now_us()
    await desk.path.write(PUT)
    after_us = now_us()
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.ProposalReceived)]
    assert before_us + 5_000_000 <= event.deadline_us <= after_us + 5_000_000


async def test_a_command_that_failed_in_the_machine_is_rejected_by_its_code(desk: Desk) -> None:
    desk.answers(reply(CommandFailed(code=CommandErrorCode.SESSION_EXPIRED, detail="gone")))
    with pytest.raises(CommandRejected) as caught:
        await desk.path.write(PUT)
    assert (caught.value.code, caught.value.detail) == ("session_expired", "gone")


@pytest.mark.parametrize(
    "code, leader, retry_after_ms",
    [
        (RefusalCode.NOT_LEADER, 2, 0),
        (RefusalCode.NOT_LEADER, 0, 1000),
        (RefusalCode.OVERLOADED, 2, 100),
        (RefusalCode.TOO_LARGE, 0, 0),
    ],
)
async def test_a_refusal_names_the_leader_and_when_to_come_back(
    desk: Desk, code: RefusalCode, leader: int, retry_after_ms: int
) -> None:
    desk.answers(refuse(code, leader))
    with pytest.raises(RequestRefused) as caught:
        await desk.path.write(PUT)
    error = caught.value
    assert (error.code, error.leader_id, error.retry_after_ms) == (code.value, leader, retry_after_ms)
    assert error.leader_grpc_addr == ("127.0.0.1:9002" if leader else "")


async def test_an_abandoned_write_has_an_unknown_outcome(desk: Desk) -> None:
    desk.answers(actions.Abandon(request=0, detail="deadline"))  # type: ignore[arg-type]  # the number is put in
    with pytest.raises(OutcomeUnknown) as caught:
        await desk.path.write(PUT)
    assert caught.value.code == "unknown_outcome"


async def test_a_read_asks_for_its_consistency_and_returns_what_the_store_has(desk: Desk) -> None:
    desk.answers(reply(None))
    answered = await desk.path.read(Get(key=b"k"), consistency=Consistency.SERIALIZABLE, max_staleness_ms=30)
    assert answered.result == GetResult(revision=7, entry=None)
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.ReadRequested)]
    assert (event.consistency, event.max_staleness_us) == (Consistency.SERIALIZABLE, 30_000)


async def test_a_backup_begins_once_this_node_has_everything_that_was_acknowledged(desk: Desk) -> None:
    desk.answers(reply(None))
    assert await desk.path.backup(timeout_ms=1000) is desk.backup
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.ReadRequested)]
    assert event.consistency is Consistency.LINEARIZABLE


async def test_a_backup_of_what_this_node_has_asks_nobody(desk: Desk) -> None:
    assert await desk.path.backup(consistency=Consistency.SERIALIZABLE) is desk.backup
    assert not [fact for fact in desk.replica.seen if isinstance(fact, events.ReadRequested)]


async def test_a_cancelled_write_leaves_nothing_behind_once_it_is_answered(desk: Desk) -> None:
    task = asyncio.create_task(desk.path.write(PUT))
    await desk.until(lambda: any(isinstance(fact, events.ProposalReceived) for fact in desk.replica.seen))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.ProposalReceived)]
    desk.orders(actions.Reply(request=event.request, result=PutResult(revision=1)))
    await desk.until(lambda: desk.node.waiting_count == 0)
    assert not desk.node.stopped


# ------------------------------------------------------------------------------------------------ operators


def without_cluster(desk: Desk) -> None:
    desk.replica.now = status(cluster_id=NO_CLUSTER, membership=membership(), leader=NodeId(0))


def bootstrap_of(desk: Desk) -> events.BootstrapRequested:
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.BootstrapRequested)]
    return event


async def test_init_makes_a_cluster_of_the_members_that_answered_and_of_this_node(desk: Desk) -> None:
    without_cluster(desk)
    desk.answers(reply(1))
    named = [
        MemberAddress(node_id=2, peer_addr="127.0.0.1:9002"),
        MemberAddress(node_id=3, http_addr="127.0.0.1:8003", voting=False),
    ]
    await desk.path.initialize(named)
    event = bootstrap_of(desk)
    assert len(event.cluster_id) == 16
    assert event.cluster_id != NO_CLUSTER
    assert (event.membership.voters, event.membership.learners) == ((1, 2), (3,))
    instances = {node_id: found.instance for node_id, found in event.membership.members.items()}
    assert instances == {1: INSTANCE, 2: b"\2" * 16, 3: b"\3" * 16}
    assert event.membership.members[NodeId(3)].peer_addr == "127.0.0.1:9003"


async def test_init_without_members_takes_the_configured_peers(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        cluster__expected_size="2",
        cluster__peers__1__http_addr="127.0.0.1:8001",
        cluster__peers__1__grpc_addr="127.0.0.1:9001",
        cluster__peers__2__http_addr="127.0.0.1:8002",
        cluster__peers__2__grpc_addr="127.0.0.1:9002",
    )
    desk = Desk(config, {"127.0.0.1:9002": presence(2)})
    desk.orders(announce(1))
    await desk.until(lambda: desk.node.announced)
    without_cluster(desk)
    desk.answers(reply(1))
    await desk.path.initialize(None)
    assert bootstrap_of(desk).membership.voters == (1, 2)
    with pytest.raises(RequestRefused, match=r"1 voters, but cluster\.expected_size says 2"):
        await desk.path.initialize([MemberAddress(node_id=1)])
    await desk.node.close()


@pytest.mark.parametrize("face, port", [("http", 8012), ("grpc", 9012)])
async def test_init_refuses_a_configured_peer_that_advertises_other_addresses(
    tmp_path: Path, face: str, port: int
) -> None:
    addresses = {
        "cluster__peers__1__http_addr": "127.0.0.1:8001",
        "cluster__peers__1__grpc_addr": "127.0.0.1:9001",
        "cluster__peers__2__http_addr": "127.0.0.1:8002",
        "cluster__peers__2__grpc_addr": "127.0.0.1:9002",
        f"cluster__peers__2__{face}_addr": f"127.0.0.1:{port}",
    }
    there = {"127.0.0.1:9002": presence(2), "127.0.0.1:9012": presence(2)}
    desk = Desk(config_of(tmp_path, **addresses), there)
    desk.orders(announce(1))
    await desk.until(lambda: desk.node.announced)
    without_cluster(desk)
    key = rf"cluster\.peers\.2\.{face}_addr says 127\.0\.0\.1:{port}"
    with pytest.raises(RequestRefused, match=key) as caught:
        await desk.path.initialize(None)
    assert caught.value.code == "invalid_change"
    await desk.node.close()


@pytest.mark.parametrize(
    "named, code, words",
    [
        (
            MemberAddress(node_id=4, peer_addr="127.0.0.1:9004"),
            "already_initialized",
            "node 4 at 127.0.0.1:9004 already",
        ),
        (MemberAddress(node_id=5, peer_addr="127.0.0.1:9002"), "invalid_change", "is node 2, not node 5"),
        (
            MemberAddress(node_id=5, peer_addr="127.0.0.1:9005"),
            "invalid_change",
            "no Ferrite node answers at 127.0.0.1:9005",
        ),
        (MemberAddress(node_id=5), "invalid_change", "has no address"),
    ],
)
async def test_init_refuses_a_member_that_is_not_what_it_should_be(
    desk: Desk, named: MemberAddress, code: str, words: str
) -> None:
    without_cluster(desk)
    with pytest.raises(RequestRefused, match=words) as caught:
        await desk.path.initialize([named])
    assert caught.value.code == code
    assert not [fact for fact in desk.replica.seen if isinstance(fact, events.BootstrapRequested)]


async def test_init_of_a_node_with_a_cluster_is_refused_before_anybody_is_asked(desk: Desk) -> None:
    with pytest.raises(RequestRefused) as caught:
        await desk.path.initialize([MemberAddress(node_id=2, peer_addr="127.0.0.1:9002")])
    assert caught.value.code == "already_initialized"
    assert desk.asked == []


async def test_init_waits_for_a_leader(desk: Desk) -> None:
    without_cluster(desk)
    desk.orders(announce(0))
    await desk.until(lambda: desk.node.announced is not None and desk.node.announced.leader == 0)
    desk.answers(reply(1))
    task = asyncio.create_task(desk.path.initialize(None))
    await desk.until(lambda: any(isinstance(fact, events.BootstrapRequested) for fact in desk.replica.seen))
    await asyncio.sleep(0.01)
    assert not task.done()
    serve = desk.replica.answer
    desk.replica.answer = lambda facts: serve(facts) or [announce(1, role=Role.LEADER)]
    desk.node.post(events.PeerUnreachable(peer=NodeId(9)))
    await task


async def test_init_without_a_leader_in_time_says_that_the_cluster_was_made(desk: Desk) -> None:
    without_cluster(desk)
    desk.orders(announce(0))
    await desk.until(lambda: desk.node.announced is not None and desk.node.announced.leader == 0)
    desk.answers(reply(1))
    with pytest.raises(OutcomeUnknown, match="the cluster was made"):
        await desk.path.initialize(None, timeout_ms=20)


async def test_a_learner_is_asked_who_it_is_and_then_added(desk: Desk) -> None:
    desk.orders(announce(1, role=Role.LEADER))
    await desk.until(lambda: desk.node.announced is not None and desk.node.announced.leader == 1)
    desk.answers(reply(12))
    index = await desk.path.add_learner(
        MemberAddress(node_id=3, peer_addr="127.0.0.1:8003", http_addr="127.0.0.1:8003")
    )
    assert index == 12
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.MembershipChangeRequested)]
    assert isinstance(event.change, AddLearner)
    member = event.change.member
    assert (member.node_id, member.instance, member.peer_addr) == (3, b"\3" * 16, "127.0.0.1:9003")


async def test_a_learner_of_another_cluster_is_refused(desk: Desk) -> None:
    desk.orders(announce(1, role=Role.LEADER))
    await desk.until(lambda: desk.node.announced is not None and desk.node.announced.leader == 1)
    with pytest.raises(RequestRefused, match="belongs to another cluster"):
        await desk.path.add_learner(MemberAddress(node_id=4, peer_addr="127.0.0.1:9004"))


async def test_only_the_leader_asks_a_learner_and_others_name_the_leader(desk: Desk) -> None:
    with pytest.raises(RequestRefused) as caught:
        await desk.path.add_learner(MemberAddress(node_id=3, peer_addr="127.0.0.1:9003"))
    assert (caught.value.code, caught.value.leader_http_addr) == ("not_leader", "127.0.0.1:8002")
    assert desk.asked == []


async def test_voters_are_sorted_and_named_once(desk: Desk) -> None:
    desk.answers(reply(15))
    assert await desk.path.change_membership([3, 1, 2, 3]) == 15
    [event] = [fact for fact in desk.replica.seen if isinstance(fact, events.MembershipChangeRequested)]
    assert getattr(event.change, "voters", None) == (1, 2, 3)


async def test_a_transfer_answers_with_the_new_leader(desk: Desk) -> None:
    desk.answers(reply(3))
    assert await desk.path.transfer_leader(0) == 3


# ------------------------------------------------------------------------------------------------ status


async def test_the_status_is_the_replicas_with_the_nodes_own_numbers(desk: Desk) -> None:
    found = desk.path.status()
    assert (found.node_id, found.boot, found.revision, found.role, found.leader_id) == (
        1,
        3,
        77,
        "follower",
        2,
    )
    assert found.leader_http_addr == "127.0.0.1:8002"
    assert found.counters == {"proposals": 3, "frames": 5}
    assert [one.node_id for one in found.members] == [1, 2, 3]
    assert found.problems == ("disk: slow",)
    assert found.warnings[-1] == "node 2 refuses this node"
    assert found.initialized


async def test_what_is_wrong_is_named(desk: Desk) -> None:
    desk.replica.now = status(leader=NodeId(0), lost_tail=True, commit_index=9000, applied_index=1)
    problems = " ".join(desk.path.status().problems)
    assert "no leader is known" in problems
    assert "lost its end" in problems
    assert "8999 committed entries" in problems
    desk.replica.now = status(leader=NodeId(0), membership=membership(2, 3))
    assert desk.path.status().problems[0] == "this node was removed from the cluster"
    without_cluster(desk)
    assert "no cluster yet" in desk.path.status().problems[0]


async def test_readiness_ends_at_once_when_the_node_is_leaving(desk: Desk) -> None:
    assert not desk.path.status().shutting_down
    desk.view.leaving = True
    assert desk.path.status().shutting_down


# ------------------------------------------------------------------------------------------------ watches, leases, the status


async def test_a_watch_begins_at_the_nodes_state_and_shows_in_the_status(desk: Desk) -> None:
    watch = desk.path.watch(WatchSpec(key=b"k"))
    assert watch.revision == 77
    assert desk.path.status().watchers == 1
    watch.cancel()
    assert desk.path.status().watchers == 0


async def test_the_status_has_history_space_and_leases(desk: Desk) -> None:
    desk.watched.facts = facts(compacted_revision=5, size_bytes=6, no_space=True, lease_count=7)
    shown = desk.path.status()
    assert (shown.revision, shown.compacted_revision, shown.size_bytes) == (77, 5, 6)
    assert (shown.no_space, shown.lease_count) == (True, 7)
    assert any("quota" in warning for warning in shown.warnings)
    assert not any("quota" in problem for problem in shown.problems), "the node itself is well"


async def test_a_lease_gets_an_id_on_both_ways_in(desk: Desk) -> None:
    desk.answers(reply(LeaseGrantResult(revision=9, lease_id=4, ttl_s=5)))
    await desk.path.write(LeaseGrant(lease_id=0, ttl_s=5))
    answers: list[object] = []
    desk.path.begin_write(LeaseGrant(lease_id=0, ttl_s=5), answers.append)
    await desk.until(lambda: answers)
    ids = []
    for fact in desk.replica.seen:
        if isinstance(fact, events.ProposalReceived):
            operation = decode_command(fact.command).operation
            assert isinstance(operation, LeaseGrant)
            ids.append(operation.lease_id)
    assert len(set(ids)) == 2
    assert min(ids) > 0
    desk.answers(refuse(RefusalCode.OVERLOADED))
    desk.path.begin_write(LeaseKeepAlive(lease_ids=(1,)), answers.append)
    await desk.until(lambda: len(answers) == 2)
    assert isinstance(answers[1], RequestRefused)
