"""Jobs from a processor's consumer group: a consumer for each lane, read by weight, so that bulk jobs never delay a live one.

Both are members of the same group, each of its own topic. Used by the engine's thread only, but for `may_publish`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from processors.policy import LaneWeights, Order
from streams import logs
from streams.health.report import without_share
from streams.log import kafka
from streams.log.member_ids import member_id
from streams.settings import Settings
from streams.worker.in_flight import SET_ASIDE, Capacity, InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.kafka_source.assigned_partitions import AssignedPartitions
from streams.worker.kafka_source.committed_state import CommittedStateReader
from streams.worker.kafka_source.lane_consumer import LaneConsumer
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.supervision.supervisor import Supervisor

log = logs.get("worker")

POLL_AT_MOST = 500
#: While bulk jobs are taken in, the live lane is not looked at: so only so many at a time.
BULK_AT_MOST = 100
#: How long a poll waits for a live job before it looks at an idle bulk lane, and at one that has just given something.
POLL_LIVE_S = 0.05
POLL_LIVE_BESIDE_BULK_S = 0.005
#: How long a bulk lane that gave something counts as flowing.
BULK_FLOWS_S = 0.1
#: How long the loop waits for a free bulk place, or an ordered job, before it looks at the live lane again.
WAIT_BESIDE_LIVE_S = 0.005
MAX_POLL_INTERVAL_MS = 300_000
#: The bulk lane joins once the live one has its partitions, or after this long. Were both to join at once, a broker that
#: gathers joins (group.consumer.assignment.interval.ms) would let both wait for 2 s; so it lets only bulk wait (measured).
JOIN_BULK_AFTER_S = 0.5
#: A lane without capacity is paused after this long. Not sooner: a pause throws away what was prefetched, 0.7 s of it
#: (measured: 1,400 jobs/s with pauses at the limit, 13,900 with waits). A worker that has no capacity for seconds runs jobs of
#: seconds, and loses nothing by it.
PAUSE_AFTER_S = 10.0


class FetchShares:
    """How many jobs each lane may take of the free capacity. Pure.

    A lane's backlog is unknown until it is polled. Live is polled first, minus bulk's reserved share; what one lane does not
    use, the other gets. An unused share is not carried over.
    """

    def __init__(self, weights: LaneWeights) -> None:
        self._bulk_per_live = weights.bulk / weights.live
        self._deficit = 0.0  # bulk jobs to take for the live ones that were taken

    def live(self, capacity: Capacity) -> int:
        """Return how many live jobs to ask for."""
        return min(POLL_AT_MOST, capacity.total - min(int(self._deficit), capacity.bulk))

    def bulk(self, capacity: Capacity, asked: int, live: int) -> int:
        """Return how many bulk jobs to ask for, after `live` of `asked` live jobs came."""
        self._deficit = min(POLL_AT_MOST, self._deficit + live * self._bulk_per_live)
        due = capacity.bulk if live < asked else int(self._deficit)
        return max(0, min(BULK_AT_MOST, due, capacity.bulk, capacity.total - live))

    def took(self, asked: int, bulk: int) -> None:
        """Count the `bulk` jobs that came of those asked for."""
        self._deficit = 0.0 if bulk < asked else max(0.0, self._deficit - bulk)


class KafkaSource:
    """`ready` is the child's READY message. `on_revoked` is called with the origins that were revoked or lost."""

    def __init__(
        self,
        settings: Settings,
        config: ChildConfig,
        ready: Mapping[str, Any],
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        on_revoked: Callable[[Sequence[JobOrigin]], None],
    ) -> None:
        self._settings = settings
        self._config = config
        self._in_flight = in_flight
        self._supervisor = supervisor
        self._on_revoked = on_revoked
        self._limit = int(ready["in_flight"])
        self._client_id = member_id(config.worker_id, ready.get("versions") or ())
        self._ordered = ready["order"] != Order.NONE
        self._quarantine = Quarantine(in_flight, supervisor.send, int(ready["executions"]))
        self._shares = FetchShares(LaneWeights(*ready["lanes"]))
        self._live, self._bulk = self._lanes = (self._lane(0), self._lane(1))
        self._bulk_flows_until = 0.0
        self._joined_at: float | None = None
        self._join_bulk_at: float | None = None

    def start(self) -> None:
        self._live.join()
        self._joined_at = time.monotonic()
        self._join_bulk_at = self._joined_at + JOIN_BULK_AFTER_S

    def poll(self, timeout_s: float, *, jobs_wait: bool) -> list[InFlightJob]:
        holding = self._quarantine.dispatch_held(timeout_s)
        limit = self._limit + sum(lane.partitions.stalled.waiting for lane in self._lanes)
        capacity = self._in_flight.wait_for_capacity(limit, 0.0 if holding else timeout_s)
        if capacity.total == 0:
            return self.keep_alive()
        # Jobs that wait here for capacity or for others must not wait for the next record of the live lane as well.
        jobs_wait = jobs_wait or capacity.bulk == 0
        jobs = self._poll(capacity, wait=not jobs_wait and not holding)
        if not jobs and jobs_wait:
            self._in_flight.wait_for_work(WAIT_BESIDE_LIVE_S, limit if capacity.bulk == 0 else None)
        return jobs

    def keep_alive(self) -> list[InFlightJob]:
        return self._admit(self._live.keep_alive() + self._bulk.keep_alive())

    def pause(self, timeout_s: float) -> list[InFlightJob]:
        self._live.pause(timeout_s)
        self._bulk.pause(0.0)
        return []

    def dispatch(self, jobs: list[InFlightJob]) -> None:
        if self._quarantine.watches:
            self._quarantine.dispatch(jobs)
        else:
            self._supervisor.send(jobs)

    def release(self, jobs: Sequence[InFlightJob]) -> None:
        aside: list[int] = []
        others: list[int] = []  # only the child knows which of these it has begun, whatever their state is by now
        for job in jobs:
            (aside if job.state in SET_ASIDE else others).append(job.slot)
        self._supervisor.release(others)
        self._in_flight.release(aside)

    def may_publish(self, job: InFlightJob, answer: Answer) -> bool | None:
        return True

    def tick(self, now: float) -> None:
        if self._join_bulk_at is not None and (now >= self._join_bulk_at or len(self._live.partitions)):
            self._join_bulk_at = None
            self._bulk.join()
        for lane in self._lanes:
            lane.tick(now)
            if self._ordered and not self._quarantine.watches:
                lane.partitions.stalled.check(lane.partitions.by_key, now)

    def why_not_ready(self) -> str | None:
        # One lane is enough: an engine that is busy with one lane has not asked for the other yet.
        waits = without_share(self._config.processor, self._partitions, self._joined_s)
        # A copy, because the engine's thread changes them.
        withheld = {**self._live.partitions.withheld, **self._bulk.partitions.withheld}
        return waits or next((f"{len(withheld)} partitions are not read: {why}" for why in withheld.values()), None)

    def status(self) -> dict[str, Any]:
        lanes = zip(self._lanes, self._in_flight.by_lane, strict=True)
        return {
            "partitions": self._partitions,
            "received": sum(lane.received for lane in self._lanes),
            "lanes": {
                lane.name: {"partitions": len(lane.partitions), "in_flight": count, "received": lane.received}
                for lane, count in lanes
            },
            "withheld": sum(len(lane.partitions.withheld) for lane in self._lanes),
            "lost": {**self._live.partitions.lost, **self._bulk.partitions.lost},
            "commits": sum(lane.partitions.commits for lane in self._lanes),
            "joined_s": self._joined_s,
        }

    def close(self) -> None:
        with ExitStack() as stack:  # whatever fails, both leave the group
            for lane in self._lanes:
                stack.callback(lane.close)

    @property
    def _partitions(self) -> int:
        return sum(len(lane.partitions) for lane in self._lanes)

    @property
    def _joined_s(self) -> float | None:
        """Seconds since the live lane asked to join its group."""
        return None if self._joined_at is None else time.monotonic() - self._joined_at

    def _poll(self, capacity: Capacity, *, wait: bool) -> list[InFlightJob]:
        """Return what is there, live before bulk; with `wait`, the first live job as soon as it comes."""
        asked = self._shares.live(capacity)
        live = self._live.poll(asked) if asked else []
        most = self._shares.bulk(capacity, asked, len(live))
        bulk = self._bulk.poll(most) if most else self._bulk.keep_alive()
        if most:
            self._shares.took(most, len(bulk))
        now = time.monotonic()
        if bulk:
            self._bulk_flows_until = now + BULK_FLOWS_S
        if wait and not live and not bulk:
            timeout = POLL_LIVE_BESIDE_BULK_S if now < self._bulk_flows_until else POLL_LIVE_S
            live = self._live.poll(max(1, asked), timeout)
        return self._admit(live + bulk)

    def _admit(self, jobs: list[InFlightJob]) -> list[InFlightJob]:
        return self._in_flight.admit(jobs) if jobs else []

    def _lane(self, number: int) -> LaneConsumer:
        interval_ms = int(self._settings.kafka_config.get("max.poll.interval.ms", MAX_POLL_INTERVAL_MS))
        consumer = kafka.consumer(
            self._settings,
            f"{self._settings.topic_prefix}workers.{self._config.processor}",
            **{
                "client.id": self._client_id,  # shown among the group's members
                # Each lane's partitions are shared out evenly among the workers that read it.
                "group.remote.assignor": "range",
                "max.poll.interval.ms": interval_ms,
                "on_commit": lambda error, partitions: assigned.on_commit_answer(error, partitions),
            },
        )
        committed_state = CommittedStateReader(self._settings, *self._config.topics[number])
        assigned: AssignedPartitions = AssignedPartitions(
            consumer, self._in_flight, committed_state, self._quarantine, number, self._limit, self._revoked
        )
        return LaneConsumer(number, consumer, assigned, min(PAUSE_AFTER_S, interval_ms / 2000))

    def _revoked(self, origins: Sequence[JobOrigin], jobs: list[InFlightJob]) -> None:
        self._supervisor.disown([job.slot for job in jobs])
        self._on_revoked(origins)
