"""One client belongs to one cluster: the first that answers. A node of another one, at whatever address, is never asked."""

from __future__ import annotations


class WrongCluster(Exception):
    """The node belongs to another cluster than the client; the text says to which."""


class ClusterGuard:
    """Shared by all connections of a client; each new one is checked before anything is sent on it."""

    __slots__ = ("cluster_id",)

    def __init__(self) -> None:
        """No cluster yet."""
        self.cluster_id = ""

    def check(self, address: str, cluster_id: str) -> None:
        """Raises `WrongCluster`. A node without a cluster passes: it refuses everything by itself."""
        if not cluster_id:
            return
        if not self.cluster_id:
            self.cluster_id = cluster_id
        elif cluster_id != self.cluster_id:
            raise WrongCluster(
                f"{address} is a node of cluster {cluster_id}, but this client belongs to cluster {self.cluster_id}: nothing"
                " was sent to it; correct the endpoints, or make a new client for the new cluster"
            )
