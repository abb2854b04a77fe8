"""Quotas of tenants: jobs per second with a burst, and jobs in flight.

The rate is that of one gateway; the number in flight is counted in the database once a second, so several gateways together
may exceed it by what they accept in that second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from connectors.access_store import Quota
from gateway.problems import Problem

#: Seconds after which a tenant with too many jobs in flight may ask again.
RETRY_IN_FLIGHT_S = 5.0


@dataclass(slots=True)
class _Bucket:
    """Tokens that refill with time; a batch larger than the burst may take them below zero."""

    tokens: float
    at: float


class Quotas:
    """Used by one event loop. `default`: of a tenant without a quota of its own."""

    def __init__(self, default: Quota, clock: Callable[[], float] = time.monotonic) -> None:
        self._default = default
        self._clock = clock
        self._quotas: dict[str, Quota] = {}
        self._buckets: dict[str, _Bucket] = {}

    def replace(self, quotas: Iterable[Quota]) -> None:
        self._quotas = {quota.tenant: quota for quota in quotas}

    def take(self, tenant: str, jobs: int, in_flight: int) -> None:
        """Count jobs that are about to be accepted. Raises Problem 429 if a quota is used up; nothing is counted then."""
        quota = self._quotas.get(tenant, self._default)
        if quota.in_flight is not None and in_flight + jobs > quota.in_flight:
            raise _used_up(f"{in_flight} jobs are in flight; {quota.in_flight} are allowed.", RETRY_IN_FLIGHT_S)
        if quota.jobs_per_s is not None:
            self._take_rate(tenant, quota.jobs_per_s, quota.burst or max(1, math.ceil(quota.jobs_per_s)), jobs)

    def _take_rate(self, tenant: str, per_s: float, burst: int, jobs: int) -> None:
        now = self._clock()
        bucket = self._buckets.setdefault(tenant, _Bucket(burst, now))
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * per_s)
        bucket.at = now
        needed = min(jobs, burst)
        if bucket.tokens < needed:
            raise _used_up(f"{per_s:g} jobs per second are allowed.", (needed - bucket.tokens) / per_s)
        bucket.tokens -= jobs


def _used_up(detail: str, retry_after_s: float) -> Problem:
    return Problem(
        429,
        "QUOTA_EXCEEDED",
        f"The quota is used up: {detail}",
        next_step="Wait for the time in Retry-After; an operator raises it with `sluice tenants set`.",
        retry_after_s=math.ceil(retry_after_s),
    )
