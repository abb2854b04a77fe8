"""How long jobs wait for a device. Times are in seconds, rates a second.

Jobs arrive at random and independently (a Poisson process).
All waits are from a job's arrival until a device begins with it, or with the batch that it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a device takes for a batch of n jobs: `fixed_s + n * job_s` on average.

    `variation`: standard deviation of a batch's time divided by its mean; 0: always the same, 1: as an exponential
    distribution. `most`: jobs in the largest batch.
    """

    fixed_s: float
    job_s: float
    variation: float = 0.0
    most: int = 1

    def batch_s(self, jobs: float) -> float:
        return self.fixed_s + jobs * self.job_s

    @property
    def jobs_per_s(self) -> float:
        """Return what one device does that always has a full batch."""
        return self.most / self.batch_s(self.most)


@dataclass(frozen=True, slots=True)
class Wait:
    """`utilisation`: part of the capacity that is used; at 1 or more the queue grows for ever and all waits are infinite.
    `batch`: jobs in a typical batch."""

    utilisation: float
    mean_s: float
    p50_s: float
    p99_s: float
    batch: float = 1.0


def erlang_c(servers: int, load: float) -> float:
    """Return the probability that a job finds all servers busy (A. K. Erlang, 1917). `load`: rate times service time, below
    `servers`. Computed from Erlang's B formula by its recursion, which never overflows."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    used = load / servers
    return blocked / (1 - used * (1 - blocked))


def wait_in_shared_queue(rate: float, service: ServiceTime, devices: int) -> Wait:
    """Return the wait where any idle device takes the next job (custody by lease): M/G/c, without batches.

    The mean is Allen and Cunneen's approximation (A. O. Allen, Probability, Statistics, and Queueing Theory, 1990, ch. 5):
    that of M/M/c times (1 + variation²) / 2. It is exact for one device (Pollaczek and Khinchine) and for variation 1. The
    percentiles take the wait of those that wait as exponential, which is exact for variation 1.
    """
    job_s = service.batch_s(1)
    used = rate * job_s / devices
    if used >= 1:
        return Wait(used, inf, inf, inf)
    waits = erlang_c(devices, rate * job_s)
    mean = waits * job_s / (devices * (1 - used)) * (1 + service.variation**2) / 2
    return Wait(used, mean, _quantile(0.50, waits, mean), _quantile(0.99, waits, mean))


def wait_in_own_queue(rate: float, service: ServiceTime) -> Wait:
    """Return the wait at one device with a queue of its own (custody by offset), which takes what waits, up to a full batch,
    whenever it is idle: M/G/1 with batches.

    A job waits for the rest of the batch that runs, on average half of its time times (1 + variation²) (renewal theory), and
    for batches before its own. The latter is J. F. C. Kingman's approximation (1961) with full batches as the customers, whose
    arrivals have 1/most of the variance; a job waits so with the probability that H. Sakasegawa's approximation (1977) gives
    for `most` servers. The p99 leaves that out, because long waits come together. While batches are not full, their size is
    that at which the next batch arrives while one runs. For `most` = 1 the mean is Pollaczek and Khinchine's, exact. The
    tests compare all with a simulation; near full load the formulas say more than it.
    """
    used = rate / service.jobs_per_s
    if used >= 1:
        return Wait(used, inf, inf, inf, service.most)
    if service.most == 1:
        return wait_in_shared_queue(rate, service, 1)
    arriving = rate * service.job_s
    batch = min(max(1.0, rate * service.fixed_s / (1 - arriving)), service.most) if arriving < 1 else service.most
    busy = min(1.0, rate * service.batch_s(batch) / batch)
    spread = service.variation**2
    rest = service.batch_s(batch) * (1 + spread)
    behind = used / (1 - used) * service.batch_s(service.most) * (1 / service.most + spread) / 2
    crowded = used ** (sqrt(2 * (service.most + 1)) - 1)
    p50 = max(0.0, 1 - 0.50 / busy) * rest + _quantile(0.50, crowded, crowded * behind)
    p99 = max(0.0, 1 - 0.01 / busy) * rest + _quantile(0.99, used, used * behind)
    return Wait(used, busy * rest / 2 + crowded * behind, p50, p99, batch)


def _quantile(p: float, waits: float, mean: float) -> float:
    """Return the wait that a part `p` of the jobs does not exceed, if a part `waits` waits, exponentially, `mean` over all."""
    return mean / waits * log(waits / (1 - p)) if waits > 1 - p else 0.0
