"""How long after a fault the throughput is normal again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.harness.checker.evidence import Evidence, FaultSpan

#: The share of the normal rate that counts as normal, over so many seconds.
SHARE = 0.7
WINDOW_S = 2


@dataclass(frozen=True, slots=True)
class Recovery:
    """`seconds`: from the end of the last of these faults until the throughput was normal."""

    faults: tuple[str, ...]
    seconds: float


def per_second(evidence: Evidence) -> Counter[int]:
    """Return the outcomes of each second."""
    return Counter(int(outcome.decided_at) for outcome in evidence.outcomes)


def normal_rate(evidence: Evidence) -> float:
    """Return the outcomes a second between the first outcome and the first fault."""
    if not evidence.outcomes or not evidence.faults:
        return 0.0
    first = min(outcome.decided_at for outcome in evidence.outcomes) + 1.0
    calm = [outcome for outcome in evidence.outcomes if first <= outcome.decided_at < evidence.faults[0].begin]
    return len(calm) / max(1.0, min(fault.begin for fault in evidence.faults) - first)


def recoveries(evidence: Evidence, until: float) -> list[Recovery]:
    """Return one recovery for each group of faults that followed each other before the throughput was normal.

    `until`: when the driver stopped. A group that ends later is left out: nothing was submitted to measure it by.
    """
    wanted = SHARE * WINDOW_S * normal_rate(evidence)
    counts = per_second(evidence)
    found: list[Recovery] = []
    group: list[FaultSpan] = []
    ordered = sorted(evidence.faults, key=lambda fault: fault.begin)
    for fault, following in zip(ordered, [*ordered[1:], None], strict=True):
        group.append(fault)
        end = max(each.end for each in group)
        at = _normal_from(counts, end, wanted, until)
        if following is not None and at > following.begin:
            continue
        if at <= until:
            found.append(Recovery(tuple(each.name for each in group), max(0.0, at - end)))
        elif until - end > 15.0:
            found.append(Recovery(tuple(each.name for each in group), math.inf))
        group = []
    return found


def percentile(recovered: Sequence[Recovery], share: float = 0.95) -> float:
    """Return the nearest-rank percentile in seconds; 0 without any."""
    ordered = sorted(recovery.seconds for recovery in recovered)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _normal_from(counts: Counter[int], end: float, wanted: float, until: float) -> float:
    second = int(end)
    while second <= until:
        if sum(counts[second + n] for n in range(WINDOW_S)) >= wanted:
            return max(float(second), end)
        second += 1
    return math.inf
