"""How long after a fault the throughput is normal again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.harness.checker.evidence import Evidence, FaultSpan

#: Normal throughput: this share of the outcomes a second before the first fault, as the mean of so many seconds, of which none
#: counts for more than normal: a backlog that is worked off makes up for no second without outcomes.
SHARE = 0.7
WINDOW_S = 3
#: Seconds without normal throughput after which a group counts as not recovered. A group that the driver left sooner is not
#: measured.
LONGEST_S = 15.0
#: Faults that hit only these leave the throughput alone, so the recovery from another fault goes on meanwhile.
_HARMLESS = frozenset({"receiver", "notify"})


@dataclass(frozen=True, slots=True)
class Recovery:
    """`seconds`: from the end of the last of these faults until the throughput was normal; infinite if it never was.

    None if the driver stopped too early to measure it.
    """

    faults: tuple[str, ...]
    seconds: float | None


def per_second(evidence: Evidence) -> Counter[int]:
    """Return the outcomes of each second."""
    return Counter(int(outcome.decided_at) for outcome in evidence.outcomes)


def normal_rate(evidence: Evidence) -> float:
    """Return the outcomes a second between the first outcome and the first fault."""
    if not evidence.outcomes or not evidence.faults:
        return 0.0
    first = min(outcome.decided_at for outcome in evidence.outcomes) + 1.0
    begin = min(fault.begin for fault in evidence.faults)
    calm = sum(1 for outcome in evidence.outcomes if first <= outcome.decided_at < begin)
    return calm / max(1.0, begin - first)


def recoveries(evidence: Evidence, until: float) -> list[Recovery]:
    """Return one recovery for each group of faults that followed each other before the throughput was normal.

    A fault ends when what it hit was started or let go again; a service may still be starting then. The end of a fault that
    leaves the throughput alone does not count. `until`: when the driver
    stopped.
    """
    rate = normal_rate(evidence)
    counts = per_second(evidence)
    found: list[Recovery] = []
    group: list[FaultSpan] = []
    ordered = sorted(evidence.faults, key=lambda fault: fault.begin)
    for fault, following in zip(ordered, [*ordered[1:], None], strict=True):
        group.append(fault)
        end = max(each.end for each in [fault for fault in group if not _is_harmless(fault)] or group)
        at = _normal_from(counts, end, rate, until)
        if following is not None and at > following.begin:
            continue
        seconds = None if at > until and until - end < LONGEST_S else at - end
        found.append(Recovery(tuple(each.name for each in group), seconds))
        group = []
    return found


def percentile(recovered: Sequence[Recovery], share: float = 0.95) -> float:
    """Return the nearest-rank percentile in seconds of those that were measured; 0 without any."""
    ordered = sorted(recovery.seconds for recovery in recovered if recovery.seconds is not None)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _is_harmless(fault: FaultSpan) -> bool:
    return bool(fault.hits) and fault.hits <= _HARMLESS


def _normal_from(counts: Counter[int], end: float, rate: float, until: float) -> float:
    """Return the begin of the first normal window after `end` that is over before `until`; infinite if there is none."""
    second = int(end)
    while second + WINDOW_S <= until:
        if sum(min(float(counts[second + n]), rate) for n in range(WINDOW_S)) >= SHARE * WINDOW_S * rate:
            return max(float(second), end)
        second += 1
    return math.inf
