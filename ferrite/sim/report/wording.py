"""Rows as text for people."""

from __future__ import annotations

from typing import Any, Final

from ferrite.sim.recording import Row

GLYPHS: Final = {"leader": "L", "follower": ".", "candidate": "C", "pre-candidate": "p"}
DOWN: Final = "x"
PAUSED: Final = "="


def seconds(time_us: int) -> str:
    """Microseconds as seconds with all six decimals, exactly."""
    return f"{time_us // 1_000_000}.{time_us % 1_000_000:06d}"


def frame_text(send: Row) -> str:
    """What a frame carries."""
    return "; ".join(str(message) for message in send["messages"]) or "an empty frame"


def node_name(node: int) -> str:
    """0 stands for nobody in particular."""
    return f"node {node}" if node else "the cluster"


def boot_text(row: Row) -> str:
    """A start, or a restart."""
    verb = "starts" if row["boot"] <= 1 else f"starts again (boot {row['boot']})"
    return f"{verb} with term {row['term']}, log up to {row['last']}, applied {row['applied']}"


def down_text(row: Row) -> str:
    """How an incarnation ended."""
    match row["why"]:
        case "killed":
            return "was killed"
        case "power loss":
            return "lost power"
        case why:
            return f"went down ({why})"


def fault_text(row: Row) -> str:
    """A fault with its id and what it struck."""
    return f"fault {row['fault']}: {row['text'] or row['kind']}"


def operation_text(row: Row) -> str:
    """What a client asked for."""
    value = row.get("value")
    asked = f"{row['kind']} {row.get('key', '')}" + (f" = {value}" if value is not None else "")
    return f"{row['client']} asks {asked} (operation {row['operation']})"


def boot_state(row: Row) -> dict[str, Any]:
    """What is known of a node's state from its `boot` row alone; memberships are not (None)."""
    return {
        "role": "follower",
        "term": row["term"],
        "leader": None,
        "commit": row["applied"],
        "applied": row["applied"],
        "persisted": row["last"],
        "last": row["last"],
        "voters": None,
        "outgoing": None,
        "learners": None,
    }


def change_text(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What is notable in a change of state; empty when only indices moved forward."""
    parts = []
    if old["role"] != new["role"]:
        parts.append(f"becomes {new['role']} of term {new['term']}")
    follows = new["role"] == "follower" and new["leader"] and old["leader"] != new["leader"]
    if follows:
        parts.append(f"follows node {new['leader']} in term {new['term']}")
    elif old["role"] == new["role"] and old["term"] != new["term"]:
        parts.append(f"enters term {new['term']}")
    if old["leader"] and not new["leader"] and old["term"] == new["term"]:
        parts.append(f"gives up node {old['leader']} as its leader")
    members = [name for name in ("voters", "outgoing", "learners") if old[name] not in (None, new[name])]
    parts.extend(f"{name} become {new[name]}" for name in members)
    if new["last"] < old["last"]:
        parts.append(f"cuts its log from {old['last']} to {new['last']}")
    return ", ".join(parts)
