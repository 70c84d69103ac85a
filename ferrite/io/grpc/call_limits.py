"""How many calls a node has in progress: one count for all engines and connections."""

from __future__ import annotations

from typing import Final

from ferrite.io.grpc import status
from ferrite.io.grpc.service import Method
from ferrite.io.grpc.status import RpcError

STREAMS_SHARE: Final = 2  # long streams may be every second of limits.concurrent_rpcs_max
UNCOUNTED_MAX: Final = 256
"""Of peers and of health checks: two per peer and some to spare, beyond clients' share."""


class CallLimits:
    """Clients share `limits.concurrent_rpcs_max`; peers do not count, so that clients cannot starve Raft (SEC25).

    Long streams may have half of it, so that they cannot starve the calls.
    """

    def __init__(self, calls_max: int) -> None:
        """Nothing is in progress yet."""
        self.calls_max = calls_max
        self._streams_max = calls_max // STREAMS_SHARE
        self._calls = 0
        self._streams = 0
        self._uncounted = 0

    def begin(self, method: Method) -> RpcError | None:
        """Count one more, which `end` takes back; or say why not."""
        if not method.counted:
            if self._uncounted >= UNCOUNTED_MAX:
                return status.overloaded(
                    f"{self._uncounted} calls of other nodes are in progress on this node"
                )
            self._uncounted += 1
            return None
        if self._calls >= self.calls_max:
            detail = f"{self._calls} gRPC calls are in progress on this node, as many as it takes; try again"
            return status.overloaded(detail)
        if method.server_streaming:
            if self._streams >= self._streams_max:
                detail = (
                    f"{self._streams} streams are open on this node, as many as it takes; try another node"
                )
                return status.overloaded(detail)
            self._streams += 1
        self._calls += 1
        return None

    def end(self, method: Method) -> None:
        """One that had begun is over."""
        if not method.counted:
            self._uncounted -= 1
            return
        self._calls -= 1
        self._streams -= method.server_streaming
