"""Chooses the cases: every point by itself, with every kind that can come out of it, and pairs of points by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.injection.injector import CallSite, Fault, Kind, kinds_of


class Point(NamedTuple):
    """A place where something is injected: a call site, before or after its effect."""

    site: CallSite
    after: bool


def points(calls: Mapping[CallSite, int], service: str) -> list[Point]:
    """Return the points of one service that at least one kind can come out of."""
    found = [Point(site, after) for site in sorted(calls) if site.service == service for after in (False, True)]
    return [point for point in found if kinds_of(*point)]


def singles(calls: Mapping[CallSite, int], service: str, *, every: bool, seed: int) -> Iterator[Fault]:
    """Return the faults that strike each point by itself: with `every` all kinds at the first, the middle and the last calls,
    else one kind, and at every other point a kill as well."""
    rng = random.Random(f"{seed} {service}")
    for number, point in enumerate(points(calls, service)):
        count, kinds = calls[point.site], kinds_of(*point)
        buckets = sorted({1, 2, (count + 1) // 2, count - 1, count} & set(range(1, count + 1)))
        if not every:
            raising = [kind for kind in kinds if kind is not Kind.KILL]
            kinds = [rng.choice(raising)] if raising else []
            kinds += [Kind.KILL] if not raising or (number + seed) % 2 else []
        for kind in kinds:
            for nth in buckets if every else [rng.choice(buckets)]:
                yield Fault(point.site, nth, point.after, kind)


def pairs(calls: Mapping[CallSite, int], service: str, *, count: int, seed: int) -> Iterator[tuple[Fault, Fault]]:
    """Return `count` pairs of faults in one service, the second somewhere else or somewhat later."""
    rng = random.Random(f"{seed} {service} pairs")
    known = points(calls, service)

    def one() -> Fault:
        point = rng.choice(known)
        return Fault(point.site, rng.randint(1, min(calls[point.site], 20)), point.after, rng.choice(kinds_of(*point)))

    while count:
        first, second = one(), one()
        if (first.site, first.nth) != (second.site, second.nth):
            count -= 1
            yield first, second
