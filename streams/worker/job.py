"""A job in this worker, from the poll until its result is in the log. Pure. Its states and transitions:

    admitted ──▶ QUEUED ──started──▶ RUNNING ──answered──▶ PUBLISHING ──all records confirmed──▶ (leaves)
                 │    ▲                │ │                     │
   hold,         │    │ begin          │ │ schedule_attempt    │ too_large: the child makes a smaller result
   mark_waiting  ▼    │                │ ▼                     ▼
                HELD, WAITING ◀────────┼─┘                  QUEUED
                                       └─▶ QUEUED   crashed, killed_for, device_lost, requeue: its process is gone
    any but PUBLISHING ──release (another worker may have it), disown (another worker has it)──▶ (leaves)

QUEUED: the child has it, or gets it with the next write. HELD (by the quarantine) and WAITING (for the job before it, or for
its next attempt): the child does not have it. In each state a job may be rejected (Flag.REJECTED): then its failure is known,
and the child only encodes it.

| counter   | counts                                                             | most                              |
|-----------|--------------------------------------------------------------------|-----------------------------------|
| attempt   | tries of a run: + 1 for each retry                                 | max_attempts                      |
| execution | starts of an attempt: + 1 when its process ended while it ran      | –                                 |
| crashes   | executions that ended with a crash that we did not cause           | Limits.executions: then rejected  |

A job under which the device failed runs again alone, as another execution without a crash; if the device fails again, it is
rejected. A job that we kill a process for goes one step further with each kill, so it causes a handful at most: it runs alone
(if several jobs passed their hard limit together), is rejected, rejected and alone, and at last not even decoded.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import IntEnum

from schemas.errors import ErrorCode
from schemas.headers import JOB, MODE, RUN, TRACEPARENT, Header
from streams.worker.protocol import Flag, JobFrame


class JobState(IntEnum):
    QUEUED = 0
    RUNNING = 1
    HELD = 2
    WAITING = 3
    PUBLISHING = 4


class JobOrigin:
    """This worker's right to its jobs: an assigned partition, or a lease. A JobSource brings the jobs, each with its origin.
    InFlightJobs calls it, with its lock held, whenever something happens to a job."""

    __slots__ = ("lane", "partition", "publishing", "topic")

    def __init__(self, topic: str, partition: int, lane: int) -> None:
        self.topic = topic
        self.partition = partition
        self.lane = lane  # index in schemas.states.Lane
        self.publishing = 0  # jobs that wait for delivery reports; counted by InFlightJobs

    def admit(self, job: InFlightJob) -> bool:
        """Return False for a job that must not run again: it is here already, or an earlier owner finished it."""
        return True

    def not_begun(self, job: InFlightJob) -> None:
        """The job is held or waits. The child does not have it, so a crash of this worker does not count against it."""

    def begun(self, job: InFlightJob) -> None:
        """The child gets a job that was held or waited."""

    def crashes_changed(self, job: InFlightJob) -> None:
        """The job's number of crashes has changed; to 0 with its next attempt."""

    def released(self, job: InFlightJob) -> None:
        """The job will not run here; another worker may have it."""

    def finished(self, job: InFlightJob) -> None:
        """Every record of the job is in the log."""


class InFlightJob:
    """A request and what happens to it. Fields change by the methods below only."""

    __slots__ = (
        "attempt",
        "copied",
        "crashes",
        "device_faults",
        "error_code",
        "execution",
        "flags",
        "headers",
        "key",
        "lane",
        "next_attempt",
        "offset",
        "order_key",
        "origin",
        "received_us",
        "size",
        "slot",
        "state",
        "timestamp_ms",
        "unconfirmed",
        "value",
    )

    def __init__(
        self,
        origin: JobOrigin,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] | None,
        timestamp_ms: int,
        size: int,
        received_us: int,
        flags: int = 0,
    ) -> None:
        self.slot = -1  # its number between parent and child
        self.origin = origin
        self.lane = origin.lane
        self.offset = offset  # -1 for a leased request that was never in the log
        self.key = key
        self.value = value
        self.headers = headers or ()
        self.timestamp_ms = timestamp_ms
        self.size = size
        self.received_us = received_us
        self.state = JobState.QUEUED
        self.flags = flags
        self.error_code = b""
        self.attempt = 0  # the attempt to run, if it differs from the record's
        self.execution = 1  # starts of this attempt, as results show it
        self.crashes = 0  # executions that ended with a crash we did not cause
        self.device_faults = 0  # executions under which the device failed
        self.copied: list[Header] = []  # for the result: the trace, and the mode unless it is live
        self.unconfirmed = 0  # records that have no delivery report yet
        self.order_key: Hashable | None = None  # jobs with the same one run one after another; None: with any other
        self.next_attempt: tuple[float, int] | None = (
            None  # when (monotonic) it is tried again here, and as which attempt
        )

    @property
    def rejected(self) -> bool:
        return bool(self.flags & Flag.REJECTED)

    def command_key(self) -> bytes:
        """Return the key of a cancel command for this run, by the Kafka headers; b"" for a request without a job id."""
        fields = dict(self.headers)
        job_id = fields.get(JOB)
        return b"job:%b:%b" % (job_id, fields.get(RUN) or b"0") if job_id else b""

    def frame(self) -> JobFrame:
        """Return the job as the child gets it."""
        fields = dict(self.headers)
        self.copied = [(name, fields[name]) for name in (TRACEPARENT, MODE) if name in fields]
        return JobFrame(
            self.slot,
            self.execution,
            self.flags,
            self.lane,
            self.origin.partition,
            self.offset,
            self.received_us,
            self.timestamp_ms,
            self.error_code,
            fields,
            self.value or b"",
            self.attempt,
        )

    # ── on its way ──

    def admit(self, slot: int) -> None:
        self.slot = slot

    def resume(self, execution: int, crashes: int) -> None:
        """Continue counting where the last worker stopped."""
        self.execution, self.crashes = execution, crashes

    def start(self) -> None:
        """The child has begun to work on it."""
        self.state = JobState.RUNNING

    def hold(self) -> None:
        self.state = JobState.HELD

    def mark_waiting(self) -> None:
        self.state = JobState.WAITING

    def begin(self) -> None:
        self.state = JobState.QUEUED

    def mark_publishing(self, records: int) -> None:
        """The child has answered; the answer is published as `records` records."""
        self.state, self.unconfirmed = JobState.PUBLISHING, self.unconfirmed + records

    def confirm(self) -> bool:
        """Count a delivery report; return True at the last one."""
        self.unconfirmed -= 1
        return self.unconfirmed == 0 and self.state is JobState.PUBLISHING

    # ── order ──

    def take_turn(self, order_key: Hashable | None) -> None:
        """Run after the earlier jobs of `order_key`; None: leave the sequence."""
        self.order_key = order_key

    def schedule_attempt(self, due: float, attempt: int) -> None:
        """The attempt failed; the next one runs here at `due` (monotonic)."""
        self.next_attempt, self.state = (due, attempt), JobState.WAITING

    def start_attempt(self) -> None:
        """Begin the attempt that it waited for, with fresh counts."""
        assert self.next_attempt is not None
        _, self.attempt = self.next_attempt
        self.next_attempt = None
        self.execution, self.crashes, self.flags, self.error_code = 1, 0, 0, b""
        self.device_faults = 0

    # ── failures that are known before the child has run it ──

    def mark_cancelled(self) -> None:
        """Reject the job as cancelled, unless it is rejected already."""
        if not self.rejected:
            self.reject(ErrorCode.CANCELLED)

    def reject(self, code: ErrorCode) -> None:
        """Do not run the job; the child only encodes this failure."""
        self.flags |= Flag.REJECTED
        self.error_code = code.encode()

    def too_large(self) -> None:
        """Kafka refused its result for its size; the child makes a small one that says so."""
        self.flags, self.error_code = int(Flag.REJECTED), ErrorCode.PAYLOAD_TOO_LARGE.encode()
        self.state, self.unconfirmed = JobState.QUEUED, self.unconfirmed - 1

    def isolate(self) -> None:
        """Run it alone: it may be what kills its process."""
        self.flags |= Flag.ISOLATED

    def reject_host_killer(self, executions: int) -> None:
        """Reject a job that was in flight at `executions` or more unclean stops of a worker."""
        self.reject(ErrorCode.WORKER_LOST)
        self.isolate()
        if self.crashes > executions:  # encoding its failure killed as well, so decoding is what kills
            self.flags |= Flag.SKIP_DECODING
        self.execution = executions

    # ── the process is gone ──

    def crashed(self, limit: int) -> None:
        """The process crashed while this job ran. After `limit` crashes it is not run again."""
        self.state = JobState.QUEUED
        if self.rejected:
            self._defer_decoding()
            return
        self.crashes += 1
        if self.crashes >= limit:
            self.reject(ErrorCode.WORKER_LOST)
        else:
            self.execution += 1
        self.isolate()

    def killed_for(self, reason: ErrorCode | None, *, several: bool) -> None:
        """We killed the process while this job ran: for this job and `reason`, or (None) for another one.

        `several`: more than one job passed its hard limit, so each runs again alone before it is blamed. So does each that ran
        when the process used too much memory.
        """
        self.state = JobState.QUEUED
        if self.rejected:
            if reason is not None:
                self._defer_decoding()
        elif reason is None:
            self.execution += 1
        elif not self.flags & Flag.ISOLATED and (
            (reason is ErrorCode.TIMEOUT_ERROR and several) or reason is ErrorCode.OUT_OF_MEMORY
        ):
            self.execution += 1
            self.isolate()
        else:
            self.reject(reason)

    def device_lost(self, *, suspected: bool) -> None:
        """The device failed while this job was in the process. A suspect runs again alone; if it was alone, it is to blame."""
        self.state = JobState.QUEUED
        if self.rejected:
            return
        if suspected:
            self.device_faults += 1
            if self.device_faults > 1 and self.flags & Flag.ISOLATED:
                self.reject(ErrorCode.DEVICE_FAULT)
                return
            self.isolate()
        self.execution += 1

    def requeue(self) -> None:
        """The process ended at our request before the job had any effect."""
        self.state = JobState.QUEUED

    def _defer_decoding(self) -> None:
        """The process died while it encoded this job's failure: isolate it. If it was alone, decoding kills, so skip that."""
        self.flags |= Flag.SKIP_DECODING if self.flags & Flag.ISOLATED else Flag.ISOLATED
