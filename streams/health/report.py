"""The health of a service, and how it follows from its loops. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.health.loop_health import LoopHealth

#: Seconds a call to a dependency may take before the service is not ready.
SLOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: every loop turns. `ready`: the service does its work. `reasons`: sentences that say why not.

    `details`: counters and facts for people and metrics; of jobs only their number.
    """

    alive: bool
    ready: bool
    reasons: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class HasHealth(Protocol):
    """Every long-running service."""

    def health(self, *, ask: bool = True) -> Health:
        """Return the health now. Called from other threads. `ask`: also probe the dependencies, which may take some
        seconds; liveness does without."""
        ...


#: Seconds in the group without a partition after which a member counts as a standby: there are more members than partitions.
STANDBY_S = 10.0


def without_share(who: str, partitions: int, joined_s: float | None) -> str | None:
    """Return why a member of a consumer group does no work yet (not joined, or only just joined), else None."""
    if joined_s is None:
        return f"{who} has not joined its group"
    return None if partitions or joined_s >= STANDBY_S else f"{who} waits for its share of the partitions"


def evaluate(
    loops: Iterable[LoopHealth],
    now: float,
    *,
    missing: Iterable[str | None] = (),
    dead: Iterable[str | None] = (),
    details: Mapping[str, Any] | None = None,
) -> Health:
    """Return the health of a service with these loops. `now`: monotonic time.

    `missing`: reasons why it can't do its work; `dead`: reasons that only a restart can remove, such as an ended thread.
    None entries are ignored.
    """
    hung, waits = [], []
    for loop in loops:
        # Read each attribute once: the loop's thread goes on meanwhile.
        waits_for, since, silent, fault = loop.waits_for, loop.waits_since, now - loop.at, loop.fault
        if waits_for is not None:
            if now - since > SLOW_S:
                waits.append(f"{waits_for} has not answered the {loop.loop} for {now - since:.0f} s")
        elif silent > loop.patience_s:
            hung.append(f"the {loop.loop} has not turned for {silent:.0f} s")
        if fault is not None:
            waits.append(fault)
    hung += [reason for reason in dead if reason is not None]
    waits += [reason for reason in missing if reason is not None]
    reasons = tuple(dict.fromkeys([*hung, *waits]))
    return Health(not hung, not reasons, reasons, details or {})
