"""The blocking twin: in step with `AsyncClient`, and of use from any thread."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ferrite import AsyncClient, Client
from ferrite.client import KeyNotFound, LockTimeout, Put, Unavailable, Value
from ferrite.io.client.blocking import LoopThread
from tests.io.client.served import Served, serving
from tests.io.client.test_watching import delivery

ONLY_ASYNC = {"commit"}


def public_methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(method)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    theirs = {name: found for name, found in public_methods(AsyncClient).items() if name not in ONLY_ASYNC}
    ours = public_methods(Client)
    assert ours.keys() == theirs.keys()
    for name, signature in theirs.items():
        assert list(ours[name].parameters.values()) == list(signature.parameters.values()), name


def test_every_public_method_is_documented() -> None:
    for kind in (AsyncClient, Client):
        for name in public_methods(kind):
            assert inspect.getdoc(getattr(kind, name)), f"{kind.__name__}.{name}"


@contextmanager
def served_elsewhere() -> Iterator[tuple[Served, LoopThread]]:
    """The nodes run in another thread, as a blocking caller has it."""
    thread = LoopThread()
    try:
        with thread.hold(serving()) as served:
            yield served, thread
    finally:
        thread.close(_nothing())


async def _nothing() -> None: ...


def test_the_blocking_client_does_what_the_other_one_does() -> None:
    with served_elsewhere() as (served, _), Client(served.doors[0].http_addr) as client:
        client.put("a", "1")
        found = client.get("a")
        assert found is not None and found.text == "1"
        assert client.increment("n") == 1
        assert [one.key for one in client.scan(page=1)] == [b"a", b"n"]
        assert client.txn().if_(Value("a") == "1").then(Put("b")).commit().succeeded
        with pytest.raises(KeyNotFound):
            client.put("none", ignore_value=True)
        assert [member.node_id for member in client.members()] == [1]


def test_what_is_held_is_released_and_loss_is_told_to_a_thread() -> None:
    with served_elsewhere() as (served, _), Client(served.doors[0].grpc_addr) as client:
        with client.lock("name") as lock:
            with pytest.raises(LockTimeout), client.lock("name", wait_s=0):
                raise AssertionError("two holders")
            assert client.txn().if_(lock.fence()).then(Put("x")).commit().succeeded
        with client.elect("chief", "me", ttl_s=2) as office:
            assert office.proclaim("you").revision > office.token
            client.lease_revoke(office.lease.lease_id)
            assert office.lost.wait(5)
        with client.lease(5) as lease:
            assert client.leases() == (lease.lease_id,)
        assert client.leases() == ()


def test_a_watch_is_an_iterator_that_may_be_asked_in_vain() -> None:
    with served_elsewhere() as (served, thread), Client(served.doors[0].grpc_addr) as client:

        async def deliver(revision: int) -> None:
            served.doors[0].node.watches[0].deliver(delivery(revision, b"k"))

        with client.watch("k") as watch:
            assert watch.next(0.05) is None
            thread.wait(deliver(5))
            assert next(watch).revision == watch.revision == 5
            closing = threading.Timer(0.2, watch.close)
            closing.start()
            assert list(watch) == []
            closing.join()


def test_calls_of_many_threads_share_one_client() -> None:
    with served_elsewhere() as (served, _), Client(served.doors[0].grpc_addr) as client:
        threads = [
            threading.Thread(target=client.increment, args=(f"n{number % 3}",)) for number in range(12)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert [one.text for one in client.range(prefix="n").kvs] == ["4", "4", "4"]


def test_a_closed_client_says_so_and_ends_its_thread() -> None:
    with served_elsewhere() as (served, _):
        client = Client(served.doors[0].grpc_addr)
        client.put("a")
        client.close()
        client.close()
        with pytest.raises(Unavailable, match="closed"):
            client.get("a")
        assert not [one for one in threading.enumerate() if one.name == "ferrite client"][1:]
