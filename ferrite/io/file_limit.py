"""Open files of the process, shared out: a client that opens connections must not take those of the log, RocksDB and peers."""

from __future__ import annotations

import resource
from typing import Final

FILES_RESERVED: Final = 256
"""For the log, RocksDB (which keeps some 100 open at most between compactions) and peers. A node starts with no fewer."""
CONNECTIONS_FLOOR: Final = 8
LISTENERS: Final = 2
"""HTTP and gRPC: each gets the same share of what is left."""


def connections_allowed(configured: int) -> int:
    """Return the connections that one listener may have open: the configured number, or its share of the files left.

    Without it, a client that opens connections at one port ends the node: the log's next segment cannot be opened (FM-P6).
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return configured
    return min(configured, max(CONNECTIONS_FLOOR, (soft - FILES_RESERVED) // LISTENERS))
