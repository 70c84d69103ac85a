"""Does each transaction agree with itself? On the way: what it found of each key before its own appends."""

from __future__ import annotations

from ferrite.sim.cycles.anomaly import Anomaly, list_text
from ferrite.sim.cycles.transactions import Elements, Key, Transaction
from ferrite.sim.linearizability.values import show


def look_inside(transaction: Transaction) -> Anomaly | None:
    """Fill in `reads`; return the anomaly of a transaction that contradicts itself."""
    known: dict[Key, Elements] = {}
    """What the key must hold by now, once it was read."""
    own: dict[Key, Elements] = {}
    """Appended so far to a key that was not read yet."""
    for is_append, key, value in transaction.steps:
        if is_append:
            if key in known:
                known[key] = (*known[key], value)
            else:
                own[key] = (*own.get(key, ()), value)
        elif value is not None:
            assert isinstance(value, tuple), "a read that returned has a list"
            if key in known:
                if known[key] != value:
                    return _contradiction(transaction, key, value, list_text(known[key]))
                continue
            mine = own.get(key, ())
            found = value[: max(0, len(value) - len(mine))]
            if value != found + mine:
                return _contradiction(
                    transaction, key, value, f"a list that ends by its own {list_text(mine)}"
                )
            if found and found[-1] in transaction.appends.get(key, ()):
                return _contradiction(
                    transaction, key, value, "nothing of its own before it had appended that"
                )
            transaction.reads[key] = found
            known[key] = value
    return None


def _contradiction(transaction: Transaction, key: Key, value: Elements, expected: str) -> Anomaly:
    sentence = f"{transaction.name} read {list_text(value)} of {show(key)}; expected {expected}"
    return Anomaly(name="internal", sentence=sentence, transactions=[transaction], reasons=[])
