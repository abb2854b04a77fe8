"""A partition that this worker owns: the right to its jobs, and which of them are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.kafka_source.offsets import OffsetTracker, Snapshot


class Assignment(JobOrigin):
    """A partition from assignment to revocation. A partition that is revoked and assigned again gets a new Assignment."""

    __slots__ = ("commit_before_dispatch", "finished_jobs", "last_sent", "recovery_until", "tracker")

    def __init__(
        self,
        topic: str,
        partition: int,
        lane: int,
        before: Snapshot | None = None,
        recovery_until: int = 0,
        commit_before_dispatch: Callable[[Sequence[Assignment]], bool] = lambda assignments: True,
    ) -> None:
        super().__init__(topic, partition, lane)
        self.tracker = OffsetTracker(before)
        #: While the position is below, jobs are committed as in flight before the child gets them (`quarantine.py`).
        self.recovery_until = recovery_until
        #: Commits these assignments of the same consumer and waits; returns whether Kafka took it.
        self.commit_before_dispatch = commit_before_dispatch
        self.finished_jobs = 0
        self.last_sent: tuple[int, str] | None = None  # position and metadata of the last commit, None if it failed

    @property
    def recovers(self) -> bool:
        """True while jobs may come that were in flight when the last owner stopped uncleanly."""
        return (self.tracker.position() or 0) < self.recovery_until

    def admit(self, job: InFlightJob) -> bool:
        execution = self.tracker.handed_out(job.offset)
        if execution > 1:
            job.resume(execution, execution - 1)
        return execution > 0

    def not_begun(self, job: InFlightJob) -> None:
        self.tracker.hold(job.offset)

    def begun(self, job: InFlightJob) -> None:
        self.tracker.begin(job.offset)

    def crashes_changed(self, job: InFlightJob) -> None:
        self.tracker.set_crashes(job.offset, job.crashes)

    def released(self, job: InFlightJob) -> None:
        self.tracker.hold(job.offset)  # its offset stays open: the partition's next owner runs it

    def finished(self, job: InFlightJob) -> None:
        self.tracker.done(job.offset)
        self.finished_jobs += 1
