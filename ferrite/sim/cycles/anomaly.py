"""What can be wrong with a history of transactions, with the names of Adya (1999) and of Elle (VLDB 2020)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from ferrite.sim.cycles.transactions import Transaction
from ferrite.sim.linearizability.history import FAIL, INFO, NEVER, OK
from ferrite.sim.linearizability.values import show

MEANINGS: Final = {
    "internal": "a transaction contradicts its own reads and appends",
    "garbage-read": "an element was read that nobody appended",
    "duplicate-elements": "an element was read twice in one list",
    "G1a": "aborted read: an element was read whose transaction failed",
    "dirty-update": "a transaction built on an element whose transaction failed",
    "G1b": "intermediate read: the state in the middle of another transaction was read",
    "incompatible-order": "two reads of one key found orders of which neither continues the other",
    "G0": "write cycle: transactions appended each before the other",
    "G1c": "circular information flow: each transaction read or overwrote what the other wrote",
    "G-single": "read skew: a transaction saw part of another and missed the rest",
    "G2-item": "anti-dependency cycle: each transaction missed what the other appended",
}
"""Anomaly -> what it is. Cycles that need the order within processes or real time have that as a suffix."""

SHOWN_CHARACTERS_MAX: Final = 160
"""Of one transaction or list in the text. The JSON has all."""


@dataclass(slots=True, kw_only=True)
class Anomaly:
    """A violation: its name, what is wrong in one sentence, the transactions concerned, and for a cycle the reason of each edge.

    The reasons lead from each transaction to the next one, the last one back to the first.
    """

    name: str
    sentence: str
    transactions: list[Transaction]
    reasons: list[str]

    def text(self) -> str:
        """The anomaly for people: several lines."""
        lines = [f"not strictly serializable: {self.name}: {self.sentence}", "  the transactions:"]
        lines += [f"    {one.name} = {_described(one)}" for one in self.transactions]
        if self.reasons:
            lines += [
                "  the cycle: each of these has to come before the next one, and the last before the first:"
            ]
            lines += [f"    {reason}" for reason in self.reasons]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The anomaly as one JSON object."""
        return {
            "anomaly": self.name,
            "sentence": self.sentence,
            "transactions": [
                {"name": transaction.name, **transaction.operation.as_json()}
                for transaction in self.transactions
            ],
            "reasons": self.reasons,
        }


def _described(transaction: Transaction) -> str:
    operation = transaction.operation
    did = ", ".join(
        f"append {show(value)} to {show(key)}"
        if is_append
        else f"read {show(key)}"
        if value is None
        else f"read {show(key)} -> {list_text(value)}"
        for is_append, key, value in transaction.steps
    )
    lines = (
        f"line {operation.invoke}" if operation.ret == NEVER else f"lines {operation.invoke}-{operation.ret}"
    )
    outcome = {OK: "", FAIL: "; failed", INFO: "; outcome unknown"}[operation.outcome]
    return f"process {operation.process} ({lines}): {did}{outcome}"


def shorten(text: str) -> str:
    """Cut the middle out of a long text."""
    half = SHOWN_CHARACTERS_MAX // 2
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:half]} ... {text[-half:]}"


def list_text(elements: Hashable) -> str:
    """A list for people."""
    assert isinstance(elements, tuple), "lists are tuples here"
    return shorten("[" + " ".join(show(element) for element in elements) + "]")
