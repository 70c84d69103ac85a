"""The client's decisions, pure: sessions, retries, endpoints, leases, watches, locks (front door)."""

from ferrite.core.client.failure import Failure
from ferrite.core.client.ranges import prefix_end

__all__ = ["Failure", "prefix_end"]
