"""All jobs in flight in this worker, from the poll to the delivery report of the result. Keeps the limits on their number.

Three threads use it: the engine's admits, the child's reader brings answers, the publisher's brings delivery reports. Each
takes the lock once for a whole batch. A method here changes jobs and calls the JobOrigin of each, so that both always agree.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.errors import ErrorCode
from streams.worker.job import InFlightJob, JobOrigin, JobState

#: A request may be megabytes, so a limit on the number of jobs alone would not bound the memory.
MAX_BYTES = 128 * 1024 * 1024
#: The part of each limit that bulk jobs never take, so that a live job is admitted at once.
KEPT_FOR_LIVE = 0.25

WITH_CHILD = (JobState.QUEUED, JobState.RUNNING)
SET_ASIDE = (JobState.HELD, JobState.WAITING)


class Capacity(NamedTuple):
    """How many more jobs fit: in total, and how many of them may be bulk jobs."""

    total: int
    bulk: int


class InFlightJobs:
    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        #: Held while origins are called; hold it to read an origin's state from another thread.
        self.lock = threading.Lock()
        self._changed = threading.Condition(self.lock)
        self._unanswered: dict[int, InFlightJob] = {}
        self._count = 0
        self._by_lane = [0, 0]
        self._bytes = 0
        self._typical = 1  # bytes of a job, by the last ones that came
        self._next_slot = 0
        #: Jobs with an order key that are done; OrderedJobs takes them out.
        self.finished: deque[InFlightJob] = deque()
        #: A further limit on the number of jobs, for a worker that may be broken.
        self.at_most: int | None = None
        #: Rises whenever the origins' state changes: as long as it stays, there is nothing new to commit.
        self.changes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def by_lane(self) -> tuple[int, int]:
        """Jobs in flight, live and bulk."""
        live, bulk = self._by_lane
        return live, bulk

    # ── one job's way (engine, then reader, then delivery thread) ──

    def admit(self, arrivals: Iterable[InFlightJob]) -> list[InFlightJob]:
        """Add jobs; leave out those that their origin refuses."""
        admitted: list[InFlightJob] = []
        with self.lock:
            before = self._bytes
            for job in arrivals:
                if job.origin.admit(job):
                    slot = self._next_slot = (self._next_slot + 1) & 0xFFFFFFFF
                    job.admit(slot)
                    self._unanswered[slot] = job
                    admitted.append(job)
                    self._bytes += job.size
                    self._by_lane[job.lane] += 1
            if admitted:
                self._count += len(admitted)
                self._typical = 1 + (self._bytes - before) // len(admitted)
            self.changes += 1
        return admitted

    def started(self, slots: Iterable[int]) -> None:
        unanswered = self._unanswered
        for slot in slots:
            job = unanswered.get(slot)
            if job is not None:
                job.start()

    def answered(self, slot: int, records: int) -> InFlightJob | None:
        """Return the job of an answer that is published as `records` records; None if the job has left meanwhile."""
        with self.lock:
            job = self._unanswered.pop(slot, None)
            if job is not None:
                job.mark_publishing(records)
                job.origin.publishing += 1
            return job

    def confirmed(self, delivered: Iterable[InFlightJob]) -> None:
        """Count one delivered record for each of these jobs. A job is done when all of its records are delivered."""
        with self._changed:
            for job in delivered:
                if job.confirm():
                    origin = job.origin
                    origin.finished(job)
                    origin.publishing -= 1
                    self._remove(job)
                    if job.order_key is not None:
                        self.finished.append(job)
            self.changes += 1
            self._changed.notify_all()

    def too_large(self, job: InFlightJob) -> None:
        """Kafka refused the job's result for its size: the child makes another one."""
        with self.lock:
            job.too_large()
            job.origin.publishing -= 1
            self._unanswered[job.slot] = job

    # ── jobs that the child does not have ──

    def hold(self, jobs: Iterable[InFlightJob]) -> None:
        """Keep these in quarantine."""
        with self._changed:
            for job in jobs:
                job.hold()
                job.origin.not_begun(job)
            self.changes += 1

    def mark_waiting(self, jobs: Iterable[InFlightJob]) -> None:
        """Set these aside until the job before them is done."""
        with self.lock:
            for job in jobs:
                job.mark_waiting()
                job.origin.not_begun(job)
            self.changes += 1

    def schedule_attempt(self, job: InFlightJob, due: float, attempt: int) -> None:
        """The job's next attempt is `attempt`, at `due` (monotonic); the job waits for it."""
        with self.lock:
            job.schedule_attempt(due, attempt)
            job.origin.not_begun(job)
            self.changes += 1

    def start_attempt(self, job: InFlightJob) -> None:
        """The child gets the job's next attempt."""
        with self.lock:
            job.start_attempt()
            job.origin.crashes_changed(job)
        self.begin([job])

    def begin(self, jobs: Iterable[InFlightJob]) -> list[InFlightJob]:
        """The child gets these now. Return them without the ones that were disowned meanwhile."""
        with self.lock:
            begun = [job for job in jobs if job.state in SET_ASIDE and self._unanswered.get(job.slot) is job]
            for job in begun:
                job.begin()
                job.origin.begun(job)
            self.changes += 1
        return begun

    # ── the child is gone (engine's thread) ──

    def crashed(self, running: Sequence[InFlightJob], limit: int) -> None:
        """The child crashed while these ran; see InFlightJob.crashed."""
        with self.lock:
            for job in running:
                job.crashed(limit)
            self._crashes_changed(running)

    def killed_for(self, running: Sequence[InFlightJob], overdue: Mapping[int, ErrorCode]) -> None:
        """We killed the child, in which these ran, for the slots in `overdue`; see InFlightJob.killed_for."""
        reasons = [overdue.get(job.slot) for job in running]
        several = reasons.count(ErrorCode.TIMEOUT_ERROR) > 1
        with self.lock:
            for job, reason in zip(running, reasons, strict=True):
                job.killed_for(reason, several=several)
            self._crashes_changed(running)

    def device_lost(self, running: Iterable[InFlightJob], suspects: Container[int]) -> None:
        """The child's device failed while these ran, under one of the `suspects`; see InFlightJob.device_lost."""
        with self.lock:
            for job in running:
                job.device_lost(suspected=job.slot in suspects)

    def requeue(self, running: Iterable[InFlightJob]) -> None:
        """The child ended at our request; its successor runs these."""
        for job in running:
            job.requeue()

    def _crashes_changed(self, jobs: Iterable[InFlightJob]) -> None:
        for job in jobs:
            job.origin.crashes_changed(job)
        self.changes += 1

    # ── jobs that leave unanswered ──

    def disown(self, origins: Iterable[JobOrigin]) -> list[InFlightJob]:
        """Remove the unanswered jobs of origins that are not ours any more; return them."""
        gone = set(origins)
        with self._changed:
            disowned = [job for job in self._unanswered.values() if job.origin in gone]
            self._remove_unanswered(disowned)
        return disowned

    def release(self, slots: Iterable[int]) -> None:
        """Remove jobs that will not run here, so that another worker may have them."""
        with self._changed:
            jobs = [job for slot in slots if (job := self._unanswered.get(slot)) is not None]
            for job in jobs:
                job.origin.released(job)
            self.changes += 1
            self._remove_unanswered(jobs)

    def clear(self) -> None:
        """Forget all jobs: their source is closed, and no delivery report comes any more."""
        with self._changed:
            self._unanswered.clear()
            self.finished.clear()
            self._count, self._bytes, self._by_lane = 0, 0, [0, 0]
            self._changed.notify_all()

    def _remove_unanswered(self, jobs: list[InFlightJob]) -> None:
        for job in jobs:
            del self._unanswered[job.slot]
            self._remove(job)
        self._changed.notify_all()

    def _remove(self, job: InFlightJob) -> None:
        self._count -= 1
        self._by_lane[job.lane] -= 1
        self._bytes -= job.size

    # ── looking ──

    def get(self, slot: int) -> InFlightJob | None:
        """Return the unanswered job in this slot."""
        return self._unanswered.get(slot)

    def with_child(self) -> list[InFlightJob]:
        """Return the unanswered jobs that the child has or gets."""
        with self.lock:
            return [job for job in self._unanswered.values() if job.state in WITH_CHILD]

    def set_aside(self) -> list[InFlightJob]:
        """Return the jobs that are held or wait; the child does not have them."""
        with self.lock:
            return [job for job in self._unanswered.values() if job.state in SET_ASIDE]

    # ── waiting ──

    def wait_for_capacity(self, limit: int, timeout: float) -> Capacity:
        """Return how many more jobs fit below `limit`; wait for the first place."""
        with self._changed:
            if self._free(limit) <= 0:
                self._changed.wait_for(lambda: self._free(limit) > 0, timeout)
            return Capacity(max(0, self._free(limit)), max(0, self._free_for_bulk(limit)))

    def wait_for_work(self, timeout: float, bulk_limit: int | None) -> None:
        """Wait until a job with an order key is done or, with `bulk_limit`, another bulk job fits below that limit."""

        def is_work() -> bool:
            return bool(self.finished) or (bulk_limit is not None and self._free_for_bulk(bulk_limit) > 0)

        with self._changed:
            self._changed.wait_for(is_work, timeout)

    def wait_until_empty(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout)

    def wait_until_child_is_empty(self, timeout: float) -> bool:
        """Wait until the child has no job and no result waits for its delivery report; return False at the timeout."""
        with self._changed:
            return self._changed.wait_for(self._child_is_empty, timeout)

    def wait_until_published(self, origins: Sequence[JobOrigin], timeout: float) -> bool:
        """Wait until all answers for jobs of these origins are delivered; return False at the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(origin.publishing for origin in origins), timeout)

    def _child_is_empty(self) -> bool:
        unanswered = self._unanswered.values()
        return self._count == len(unanswered) and all(job.state in SET_ASIDE for job in unanswered)

    def _free(self, limit: int) -> int:
        """Return how many jobs of the typical size fit; 1 if one could be larger than what is left."""
        if self.at_most is not None:
            limit = min(limit, self.at_most)
        left = self._max_bytes - self._bytes
        return 0 if left <= 0 else min(limit - self._count, 1 + left // self._typical)

    def _free_for_bulk(self, limit: int) -> int:
        if self._bytes >= self._max_bytes * (1 - KEPT_FOR_LIVE):
            return 0
        most = max(1, int(limit * (1 - KEPT_FOR_LIVE)))
        return min(self._free(limit), most - self._by_lane[1])
