"""How a worker is: each engine's loop turns, its child has its model, and its group has given it a share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.health.memory import resident
from streams.health.report import without_share


def missing(status: Mapping[str, Any]) -> str | None:
    """Why this engine does not take work, None if it does. `status`: the engine's."""
    name = status["processor"]
    if status.get("ready") is None:
        return f"the process of {name} is starting"
    if status.get("custody") == "lease":  # no group: it takes work when the store answers
        fault: str | None = status["store_fault"]
        return fault
    # One lane is enough: with its hands full of the one it has not asked for the other yet.
    return without_share(name, status["partitions"], status.get("joined_s"))


def told(status: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of an engine: its counters, and what its child said of itself, flat."""
    child = status.get("ready") or {}
    facts = {
        "device": child.get("device"),
        "device_reason": child.get("device_reason"),
        "device_fallback": bool(child.get("device_fallback")),
        "versions": child.get("versions") or {},
        "child_rss": resident(status.get("child")),
        "paused": False,
    }
    own = {key: value for key, value in status.items() if key != "ready" and value is not None}
    return {**facts, **own, "standby": missing(status) is None and status.get("partitions") == 0}
