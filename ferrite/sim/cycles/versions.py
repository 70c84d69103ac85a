"""The order of the versions of each key: what the longest list that was read says, once no other read contradicts it.

An element is a version: it is appended once per key. A read names the version that it found by the list's length.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ferrite.sim.cycles.anomaly import Anomaly, list_text
from ferrite.sim.cycles.transactions import Key, Transaction
from ferrite.sim.linearizability.history import FAIL, HistoryInvalid
from ferrite.sim.linearizability.values import show


@dataclass(slots=True, kw_only=True)
class Versions:
    """One key. `elements[i]` was appended by `writers[i]`; a read of the first i elements is in `readers` with the place i.

    `unread` appended something that nobody read: all of it comes after `elements`, in an order that nobody knows.
    `guessed_next`: the last writer is one of these itself. It read everything before, so that the others come after it.
    """

    key: Key
    elements: list[Hashable] = field(default_factory=list)
    writers: list[Transaction] = field(default_factory=list)
    readers: list[tuple[int, Transaction]] = field(default_factory=list)
    unread: list[Transaction] = field(default_factory=list)
    guessed_next: bool = False


Writers = dict[Key, dict[Hashable, Transaction]]
"""key -> element -> who appended it."""


def writers_of(transactions: Iterable[Transaction]) -> Writers:
    """Who appended what; raises HistoryInvalid when an element was appended twice: then reads do not name versions."""
    writers: Writers = {}
    for transaction in transactions:
        for key, elements in transaction.appends.items():
            of_key = writers.setdefault(key, {})
            for element in elements:
                earlier = of_key.setdefault(element, transaction)
                if earlier is not transaction or elements.count(element) > 1:
                    raise HistoryInvalid(
                        transaction.operation.invoke,
                        f"{show(element)} is appended to {show(key)} again (first on line {earlier.operation.invoke}); "
                        "expected that every element is appended to a key once",
                    )
    return writers


def versions_of(transactions: list[Transaction], writers: Writers) -> tuple[list[Versions], Anomaly | None]:
    """Return the order of each key, or the first anomaly that keeps it from having one."""
    reads: dict[Key, list[Transaction]] = {}
    for transaction in transactions:
        for key in transaction.reads:
            reads.setdefault(key, []).append(transaction)
    orders = {key: Versions(key=key) for key in (*writers, *reads)}
    for key, readers in reads.items():
        anomaly = _order(orders[key], readers, writers.get(key, {}))
        if anomaly is not None:
            return [], anomaly
    seen = {writer.number for versions in orders.values() for writer in versions.writers}
    for key, versions in orders.items():
        happened = [
            transaction
            for transaction in {each.number: each for each in writers.get(key, {}).values()}.values()
            if transaction.ok or transaction.number in seen
        ]
        _add_unread(versions, happened)
    return list(orders.values()), None


def _order(
    versions: Versions, readers: list[Transaction], writers: dict[Hashable, Transaction]
) -> Anomaly | None:
    """Fill in elements, writers and readers of one key."""
    key = versions.key
    by_length = max(readers, key=lambda reader: len(reader.reads[key]))
    longest = by_length.reads[key]
    anomaly = _wrong_element(by_length, key, writers)
    if anomaly is not None:
        return anomaly
    for reader in readers:
        found = reader.reads[key]
        if found != longest[: len(found)]:
            return _wrong_element(reader, key, writers) or _incompatible(reader, by_length, key)
        versions.readers.append((len(found), reader))
    versions.elements = list(longest)
    versions.writers = [writers[element] for element in longest]
    return _intermediate(versions, readers, writers) or _wrong_within(versions, by_length)


def _wrong_element(reader: Transaction, key: Key, writers: dict[Hashable, Transaction]) -> Anomaly | None:
    found = reader.reads[key]
    text = f"{reader.name} read {list_text(found)} of {show(key)}"
    if len(set(found)) < len(found):
        twice = next(element for place, element in enumerate(found) if element in found[:place])
        return Anomaly(
            name="duplicate-elements",
            sentence=f"{text}, with {show(twice)} in it twice",
            transactions=[reader],
            reasons=[],
        )
    for place, element in enumerate(found):
        writer = writers.get(element)
        if writer is None:
            sentence = f"{text}; nobody appended {show(element)}"
            return Anomaly(name="garbage-read", sentence=sentence, transactions=[reader], reasons=[])
        if writer.operation.outcome == FAIL:
            sentence = f"{text}; {writer.name}, which appended {show(element)}, failed"
            later = next((writers[each] for each in found[place + 1 :] if each in writers), None)
            if later is not None and later.ok:
                return Anomaly(
                    name="dirty-update",
                    sentence=f"{sentence}, and {later.name} appended after it",
                    transactions=[writer, later, reader],
                    reasons=[],
                )
            return Anomaly(name="G1a", sentence=sentence, transactions=[writer, reader], reasons=[])
    return None


def _incompatible(reader: Transaction, other: Transaction, key: Key) -> Anomaly:
    found, longest = reader.reads[key], other.reads[key]
    sentence = (
        f"{reader.name} read {list_text(found)} of {show(key)}, {other.name} read {list_text(longest)}; "
        "expected that one of them continues the other"
    )
    return Anomaly(name="incompatible-order", sentence=sentence, transactions=[reader, other], reasons=[])


def _intermediate(
    versions: Versions, readers: list[Transaction], writers: dict[Hashable, Transaction]
) -> Anomaly | None:
    key = versions.key
    for reader in readers:
        found = reader.reads[key]
        if found:
            writer = writers[found[-1]]
            if writer.appends[key][-1] != found[-1]:
                sentence = (
                    f"{reader.name} read {list_text(found)} of {show(key)}, "
                    f"but {writer.name} appended {show(writer.appends[key][-1])} after {show(found[-1])}"
                )
                return Anomaly(name="G1b", sentence=sentence, transactions=[writer, reader], reasons=[])
    return None


def _wrong_within(versions: Versions, reader: Transaction) -> Anomaly | None:
    """Each transaction's own elements are there in its order, none left out before one that is there."""
    key = versions.key
    several: dict[int, tuple[Transaction, list[Hashable]]] = {}
    for element, writer in zip(versions.elements, versions.writers, strict=True):
        if len(writer.appends[key]) > 1:
            several.setdefault(writer.number, (writer, []))[1].append(element)
    for writer, elements in several.values():
        if elements != writer.appends[key][: len(elements)]:
            sentence = (
                f"{reader.name} read {list_text(reader.reads[key])} of {show(key)}; "
                f"{writer.name} appended {list_text(tuple(writer.appends[key]))}, in this order"
            )
            return Anomaly(
                name="incompatible-order", sentence=sentence, transactions=[writer, reader], reasons=[]
            )
    return None


def _add_unread(versions: Versions, happened: list[Transaction]) -> None:
    key = versions.key
    elements = set(versions.elements)
    versions.unread = [writer for writer in happened if not elements.issuperset(writer.appends[key])]
    last = len(versions.elements)
    read_all = {reader.number for place, reader in versions.readers if place == last}
    following = next((writer for writer in versions.unread if writer.number in read_all), None)
    if following is not None:
        rest = [element for element in following.appends[key] if element not in elements]
        versions.elements += rest
        versions.writers += [following] * len(rest)
        versions.unread.remove(following)
        versions.guessed_next = True
