"""What a service says of itself, and how it is found from the pulses of its loops. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.health.loop_health import LoopHealth

#: A call outside that takes longer than this makes a service unready; shorter ones are a slow moment.
SLOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: every loop turns. `ready`: it does its work. `reasons`: why not, in sentences. `details`: counters and facts
    for people and metrics; nothing of a job but how many there are."""

    alive: bool
    ready: bool
    reasons: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class HasHealth(Protocol):
    """Every long-running service."""

    def health(self, *, ask: bool = True) -> Health:
        """How it is now. Asked from other threads. `ask`: also ask what it needs whether it answers, which may take some
        seconds; liveness does without."""
        ...


#: After so long in its group without any partition a member is a standby: there are more members than partitions.
STANDBY_S = 10.0


def without_share(who: str, partitions: int, joined_s: float | None) -> str | None:
    """Why a member of a consumer group does no work yet: it has joined only just now, or not at all."""
    if joined_s is None:
        return f"{who} has not joined its group"
    return None if partitions or joined_s >= STANDBY_S else f"{who} waits for its share of the partitions"


def evaluate(
    pulses: Iterable[LoopHealth],
    now: float,
    *,
    missing: Iterable[str | None] = (),
    dead: Iterable[str | None] = (),
    details: Mapping[str, Any] | None = None,
) -> Health:
    """The health of a service with these loops. `now`: a monotonic time.

    `missing`: what else it lacks to do its work; `dead`: what will not come back by itself, such as a thread that has ended.
    None among them is nothing.
    """
    hung, waits = [], []
    for pulse in pulses:
        # Read once: the loop goes on while we look.
        waits_for, since, silent = pulse.waits_for, pulse.waits_since, now - pulse.at
        if waits_for is not None:
            if now - since > SLOW_S:
                waits.append(f"{waits_for} has not answered the {pulse.loop} for {now - since:.0f} s")
        elif silent > pulse.patience_s:
            hung.append(f"the {pulse.loop} has not turned for {silent:.0f} s")
        if pulse.trouble is not None:
            waits.append(pulse.trouble)
    hung += [reason for reason in dead if reason is not None]
    waits += [reason for reason in missing if reason is not None]
    reasons = tuple(dict.fromkeys([*hung, *waits]))
    return Health(not hung, not reasons, reasons, details or {})
