"""What waits to be sent to one peer: two lanes, both bounded.

Elections, heartbeats, confirmations and all answers are *urgent*: small, and late they cost an election. Entries, forwarded
commands and snapshot pieces are *bulk*. An urgent message may pass bulk that was ordered before it (the core takes messages in
any order), but bulk keeps its order: an append that passed another would be refused and make the leader probe.
"""

from __future__ import annotations

from collections import deque

from ferrite.core import messages

MESSAGE_OVERHEAD_BYTES = 64  # tag, term, indexes, framing
ENTRY_OVERHEAD_BYTES = 16


def bulk_size_bytes(message: messages.Message) -> int:
    """About what the message takes in a frame, when it is bulk; 0 when it is urgent."""
    match message:
        case messages.AppendEntries():
            payload_bytes = sum(len(payload) for _, payload in message.entries)
            return MESSAGE_OVERHEAD_BYTES + payload_bytes + ENTRY_OVERHEAD_BYTES * len(message.entries)
        case messages.InstallSnapshot():
            return MESSAGE_OVERHEAD_BYTES + len(message.data)
        case messages.Forward():
            commands_bytes = sum(len(command) for _, command in message.proposals)
            return MESSAGE_OVERHEAD_BYTES + commands_bytes + ENTRY_OVERHEAD_BYTES * len(message.proposals)
        case _:
            return 0


class Outbox:
    """Always: `bulk_bytes` is the sum of the sizes in the bulk lane, and no lane is above its limits."""

    def __init__(self, *, bytes_max: int, messages_max: int) -> None:
        """`bytes_max` bounds the bulk lane, `messages_max` each lane."""
        self._bytes_max = bytes_max
        self._messages_max = messages_max
        self._urgent: deque[messages.Message] = deque()
        self._bulk: deque[tuple[messages.Message, int]] = deque()
        self.bulk_bytes = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    def put(self, message: messages.Message) -> bool:
        """Queue it; False (and not queued) when its lane is full. A single message above the limit passes when nothing waits."""
        size_bytes = bulk_size_bytes(message)
        if not size_bytes:
            if len(self._urgent) >= self._messages_max:
                return False
            self._urgent.append(message)
            return True
        full = self._bulk and self.bulk_bytes + size_bytes > self._bytes_max
        if full or len(self._bulk) >= self._messages_max:
            return False
        self._bulk.append((message, size_bytes))
        self.bulk_bytes += size_bytes
        return True

    def take(self, bytes_target: int) -> list[messages.Message]:
        """Remove and return the next frame's messages: everything urgent, then bulk up to the target, but one of it at least."""
        batch = list(self._urgent)
        self._urgent.clear()
        taken_bytes = 0
        while self._bulk and (not taken_bytes or taken_bytes + self._bulk[0][1] <= bytes_target):
            message, size_bytes = self._bulk.popleft()
            batch.append(message)
            taken_bytes += size_bytes
        self.bulk_bytes -= taken_bytes
        return batch

    def clear(self) -> int:
        """Forget everything; returns how many messages that were."""
        count = len(self)
        self._urgent.clear()
        self._bulk.clear()
        self.bulk_bytes = 0
        return count
