"""What must hold between keys. Each rule keeps quiet when a value it needs was refused already."""

from ferrite.io.config.address import Address
from ferrite.io.config.resolve import Resolved

HEARTBEATS_PER_ELECTION_MIN = 5  # fewer, and a single lost heartbeat starts an election
FRAME_BYTES_MAX = 64 * 1024  # what a message may have around the request that it carries
_FACES = ("http", "grpc")


def check_rules(resolved: Resolved) -> None:
    """Report everything that does not fit together."""
    _check_elections(resolved)
    _check_log_cut(resolved)
    _check_auto_compaction(resolved)
    _check_sizes(resolved)
    _check_listeners(resolved)
    _check_advertised(resolved)
    _check_exposure(resolved)
    _check_duplicate_peers(resolved)
    _check_own_peer(resolved)
    _check_voters(resolved)


def _blame(resolved: Resolved, *paths: str) -> str:
    """The key to show: the first that somebody set, for a default needs no repair."""
    return next((path for path in paths if resolved.is_given(path)), paths[0])


def _check_elections(resolved: Resolved) -> None:
    shortest, longest, beat = (
        "raft.election_timeout_min",
        "raft.election_timeout_max",
        "raft.heartbeat_interval",
    )
    if resolved.has(shortest, beat):
        least = HEARTBEATS_PER_ELECTION_MIN * resolved.int(beat)
        if resolved.int(shortest) < least:
            resolved.report(
                _blame(resolved, shortest, beat),
                expected=f"{shortest} of at least {HEARTBEATS_PER_ELECTION_MIN} heartbeats = {least} ms, "
                f"with {resolved.describe(shortest)} and {resolved.describe(beat)}",
                advice="raise the election timeout or lower the heartbeat interval (configs/low-latency.toml has 50 and "
                "300): below that one lost heartbeat starts an election",
            )
    if resolved.has(shortest, longest) and resolved.int(shortest) >= resolved.int(longest):
        resolved.report(
            _blame(resolved, longest, shortest),
            expected=f"{shortest} < {longest}, with {resolved.describe(shortest)} and {resolved.describe(longest)}",
            advice="make max twice min: nodes that wait equally long split the votes for ever",
        )


def _check_log_cut(resolved: Resolved) -> None:
    kept, threshold = "storage.log_retention_count", "raft.compaction_threshold"
    if not resolved.has(kept, threshold, "raft.enable_auto_compaction"):
        return
    if resolved.flag("raft.enable_auto_compaction") and resolved.int(kept) >= resolved.int(threshold):
        resolved.report(
            _blame(resolved, kept, threshold),
            expected=f"{kept} < {threshold}, with {resolved.describe(kept)} and {resolved.describe(threshold)}",
            advice="keep fewer entries or cut later: else each cut would find nothing to remove",
        )


def _check_auto_compaction(resolved: Resolved) -> None:
    """A retention of nothing would be read as "keep nothing" by one and as "no compaction" by the other; and the default, a
    number of revisions, is no age.
    """
    mode, kept = "storage.auto_compaction_mode", "storage.auto_compaction_retention"
    if not resolved.has(mode, kept):
        return
    given = resolved.int(kept) if resolved.is_given(kept) else 0
    fits = {"off": given == 0, "revisions": resolved.int(kept) > 0, "age": given > 0}
    if not fits[resolved.text(mode)]:
        resolved.report(
            _blame(resolved, kept, mode),
            expected=f"{kept} above 0 with {mode} revisions or age (with age it must be given), and none or 0 with off; "
            f"with {resolved.describe(mode)} and {resolved.describe(kept)}",
            advice="say how much history is kept (revisions, or milliseconds for age), or turn the mode off",
        )


def _check_sizes(resolved: Resolved) -> None:
    request, message = "limits.request_bytes_max", "network.max_message_size"
    _check_at_most(resolved, (request,), FRAME_BYTES_MAX, message, "a request must fit into one message")
    _check_at_most(
        resolved, ("limits.key_bytes_max", "limits.value_bytes_max"), 0, request, "the largest pair must fit into a request"
    )  # fmt: skip
    _check_at_most(
        resolved, (request,), 0, "limits.pending_bytes_max", "else the largest request would always be refused"
    )  # fmt: skip
    _check_at_most(
        resolved, ("limits.list_bytes_max",), 0, message, "a page of a listing must fit into one message"
    )  # fmt: skip
    _check_at_most(
        resolved, (request, "limits.list_bytes_max"), 0, "limits.held_bytes_max", "else the largest page would always be refused"
    )  # fmt: skip
    _check_at_most(
        resolved, ("limits.connections_per_ip_max",), 0, "limits.connections_max", "one address is among all"
    )  # fmt: skip


def _check_at_most(resolved: Resolved, parts: tuple[str, ...], extra: int, whole: str, why: str) -> None:
    if not resolved.has(*parts, whole) or sum(map(resolved.int, parts)) + extra <= resolved.int(whole):
        return
    left = " + ".join((*parts, str(extra)) if extra else parts)
    resolved.report(
        _blame(resolved, *parts, whole),
        expected=f"{left} <= {whole}, with {', '.join(map(resolved.describe, (*parts, whole)))}",
        advice=f"lower the former or raise the latter: {why}",
    )


def _check_listeners(resolved: Resolved) -> None:
    http, grpc = "node.http_addr", "node.grpc_addr"
    if not resolved.has(http, grpc):
        return
    one, other = resolved.address(http), resolved.address(grpc)
    assert one is not None
    assert other is not None
    if one.overlaps(other):
        resolved.report(
            _blame(resolved, grpc, http),
            expected=f"two ports, with {resolved.describe(http)} and {resolved.describe(grpc)}",
            advice="give HTTP and gRPC ports of their own, such as 8001 and 9001",
        )


def _check_advertised(resolved: Resolved) -> None:
    for face in _FACES:
        bound_key, advertised_key = f"node.{face}_addr", f"node.advertise_{face}_addr"
        if not resolved.has(bound_key, advertised_key):
            continue
        bound, advertised = resolved.address(bound_key), resolved.address(advertised_key)
        if advertised is not None:
            _check_dialable(resolved, advertised_key, advertised)
        elif bound is not None and bound.is_wildcard:
            resolved.report(
                bound_key,
                expected=f"{advertised_key} beside an address that means all of this machine's",
                advice=f"set {advertised_key} to the address under which others reach this node",
            )
        elif bound is not None:
            _check_dialable(resolved, bound_key, bound)
    for id_ in resolved.peer_ids:
        for face in _FACES:
            key = f"cluster.peers.{id_}.{face}_addr"
            address = resolved.address(key) if resolved.has(key) else None
            if address is not None:
                _check_dialable(resolved, key, address)


def _check_dialable(resolved: Resolved, key: str, address: Address) -> None:
    if address.is_wildcard or address.is_multicast:
        resolved.report(
            key,
            expected="an address that leads to one node",
            advice="write the node's own address or name: 0.0.0.0, [::], multicast and broadcast lead nowhere",
        )


def _check_exposure(resolved: Resolved) -> None:
    if not resolved.has("security.allow_insecure") or resolved.flag("security.allow_insecure"):
        return
    for face in _FACES:
        key = f"node.{face}_addr"
        address = resolved.address(key) if resolved.has(key) else None
        if address is not None and not address.is_loopback:
            resolved.report(
                key,
                expected="a loopback address, such as 127.0.0.1 or [::1], because there is no TLS and no authentication",
                advice="bind to loopback, or set security.allow_insecure = true when only trusted machines reach the port",
            )


def _check_duplicate_peers(resolved: Resolved) -> None:
    seen: dict[Address, str] = {}
    for id_ in resolved.peer_ids:
        for face in _FACES:
            key = f"cluster.peers.{id_}.{face}_addr"
            address = resolved.address(key) if resolved.has(key) else None
            if address is None:
                continue
            if address in seen:
                resolved.report(
                    key,
                    expected=f"an address of its own: {seen[address]} has it",
                    advice="correct one of the two",
                )
            seen.setdefault(address, key)


def _check_own_peer(resolved: Resolved) -> None:
    if not resolved.peer_ids or not resolved.has("node.id"):
        return
    own = resolved.int("node.id")
    if own not in resolved.peer_ids:
        listed = ", ".join(map(str, resolved.peer_ids))
        resolved.report(
            "node.id",
            expected=f"one of the peers listed: {listed}",
            advice=f"add [cluster.peers.{own}] for this node, or correct node.id",
        )
        return
    for face in _FACES:
        listed_key = f"cluster.peers.{own}.{face}_addr"
        bound_key, advertised_key = f"node.{face}_addr", f"node.advertise_{face}_addr"
        if not resolved.has(listed_key, bound_key, advertised_key):
            continue
        own_key = bound_key if resolved.address(advertised_key) is None else advertised_key
        bound = resolved.address(own_key)
        assert bound is not None
        if bound.is_wildcard:  # reported already: what is advertised is not known
            continue
        if resolved.address(listed_key) != bound:
            resolved.report(
                listed_key,
                expected=f"the address that this node gives itself: {resolved.describe(own_key)}",
                advice=f"make the two equal, or set {advertised_key} when others reach it under another address",
            )


def _check_voters(resolved: Resolved) -> None:
    keys = [f"cluster.peers.{id_}.voting" for id_ in resolved.peer_ids]
    if not keys or not resolved.has("cluster.expected_size", *keys):
        return
    voters, size = sum(map(resolved.flag, keys)), resolved.int("cluster.expected_size")
    if voters == 0:
        resolved.report(
            keys[0], expected="at least one voter", advice="set voting = true for the nodes that shall elect a leader"
        )  # fmt: skip
    elif size not in (0, voters):
        resolved.report(
            "cluster.expected_size",
            expected=f"the number of voting peers listed, {voters}",
            advice="list the missing peers, or correct the number",
        )
