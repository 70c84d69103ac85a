"""What clients did and saw: one record per operation, in the order of invocation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

OK: Final = "ok"
FAIL: Final = "fail"
"""Certainly not carried out, now or later."""
INFO: Final = "info"
"""Unknown: it may have happened, or still happen."""
PENDING: Final = "pending"


@dataclass(slots=True)
class Operation:
    """One operation of one client. `value` is what was written, or what a get returned (None: the key was absent).

    `floor_revision` is the highest revision acknowledged to anybody when the operation began. `mod_revision` is what a get
    saw beside the value. Times are simulated microseconds.
    """

    number: int
    client: str
    kind: str
    key: bytes
    value: bytes | None
    request_id: int
    invoke_us: int
    floor_revision: int
    linearizable: bool = True
    outcome: str = PENDING
    complete_us: int = -1
    revision: int = 0
    mod_revision: int = 0
    existed: bool | None = None
    attempts: int = 0
    detail: str = ""


class History:
    """All operations of a run."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.acknowledged_revision = 0
        """The highest revision that any client was told so far."""

    def invoke(
        self,
        client: str,
        kind: str,
        key: bytes,
        value: bytes | None,
        *,
        request_id: int,
        now_us: int,
        linearizable: bool = True,
    ) -> Operation:
        """Record that an operation begins."""
        operation = Operation(
            number=len(self.operations),
            client=client,
            kind=kind,
            key=key,
            value=value,
            request_id=request_id,
            invoke_us=now_us,
            floor_revision=self.acknowledged_revision,
            linearizable=linearizable,
        )
        self.operations.append(operation)
        return operation

    def complete(self, operation: Operation, outcome: str, now_us: int, detail: str = "") -> None:
        """Record how it ended. An `ok` with a revision raises the floor of all later operations."""
        operation.outcome = outcome
        operation.complete_us = now_us
        operation.detail = detail
        if outcome == OK and operation.linearizable:
            self.acknowledged_revision = max(self.acknowledged_revision, operation.revision)

    def count(self, outcome: str) -> int:
        """How many operations ended so."""
        return sum(1 for operation in self.operations if operation.outcome == outcome)


def to_json_lines(operations: Iterable[Operation]) -> str:
    """Return one JSON object per line; bytes as hex."""
    rows = []
    for operation in operations:
        row = asdict(operation)
        row["key"] = operation.key.hex()
        row["value"] = None if operation.value is None else operation.value.hex()
        rows.append(json.dumps(row, sort_keys=True))
    return "\n".join(rows) + ("\n" if rows else "")
