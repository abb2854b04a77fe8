"""Everything of an engine that exists once its child is ready: built whole, with the limits of the processor's policy.

source ─▶ cancelled ones rejected ─▶ order ─▶ source.dispatch ─▶ child ─▶ may_publish ─▶ publisher
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from processors.policy import Order
from schemas.contract import contract
from schemas.errors import StartupError
from schemas.states import Custody, Disposition
from streams import logs
from streams.settings import Settings
from streams.worker.cancellation import Cancellations
from streams.worker.circuit import WorkerCircuit
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin, JobState
from streams.worker.ordering import OrderedJobs
from streams.worker.progress import ProgressPublisher
from streams.worker.protocol import LAST_SEQUENCE, Answer, ChildConfig, Flag
from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.supervision.supervisor import Supervisor
from streams.worker.transport import Transport

log = logs.get("worker")

PAUSED_POLL_S = 0.05
DRAIN_POLL_S = 0.02
PUBLISHER_STOP_S = 5.0


class EngineSession:
    """The pipeline of one processor's jobs. `ready` is the child's READY message.

    Used by the engine's thread, except `publish` and `report` (the child's reader) and what only reads.
    """

    def __init__(
        self,
        settings: Settings,
        config: ChildConfig,
        ready: Mapping[str, Any],
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        transport: Transport,
        circuit: WorkerCircuit,
    ) -> None:
        self._circuit = circuit
        commands, processor = transport.commands, config.processor
        self._processor = processor
        self._in_flight = in_flight
        self._supervisor = supervisor
        self._commands = commands
        self._publisher = transport.publisher(config, in_flight, supervisor.refuse_for_size)
        self._progress = ProgressPublisher(settings, self._publisher, in_flight, config)
        self._acknowledge = transport.acknowledger(config, self._publisher)
        leased = settings.custody(contract(processor)) is Custody.LEASE
        self._order = Order.NONE if leased else Order(ready["order"])
        self._ordered: OrderedJobs | None = None
        if self._order is not Order.NONE:
            self._ordered = OrderedJobs(self._order, in_flight, self._progress.write)
        self._cancellations = Cancellations(processor, commands.state, in_flight, supervisor, self._ordered)
        self._undecided: deque[Answer] = deque()  # answers that the source can't decide on yet
        self._source = transport.source(config, ready, in_flight, supervisor, self._revoked)

    def start(self) -> None:
        self._publisher.start()
        self._commands.wait_until_read()
        self._source.start()

    def status(self) -> dict[str, Any]:
        return {
            "order": self._order.value,
            "waiting": 0 if self._ordered is None else self._ordered.waiting,
            "published": self._publisher.published,
            "dead_lettered": self._publisher.dead_lettered,
            **self._source.status(),
        }

    def why_not_ready(self) -> str | None:
        return self._source.why_not_ready() or self._publisher.fault

    # ── one turn of the loop ──

    def take(self, timeout_s: float) -> None:
        """Take new jobs and send what may run to the child; wait at most about `timeout_s`."""
        if self._ordered is not None:
            self._send_due(self._ordered)
        paused = self._circuit.is_testing or self._commands.state.is_paused(self._processor)
        if paused:
            self._supervisor.pump(0)
            self._admit(self._source.pause(PAUSED_POLL_S))
        self._acknowledge()
        if paused:
            return
        if self._supervisor.backlog:
            self._supervisor.pump(timeout_s)
            self._admit(self._source.keep_alive())
        else:
            jobs_wait = self._ordered is not None and self._ordered.waiting > 0
            self._admit(self._source.poll(timeout_s, jobs_wait=jobs_wait))

    def tick(self, now: float) -> None:
        """Look after the child, cancels, commits and leases. Raises SluiceError when the engine can't go on."""
        for update in self._supervisor.tick(now):
            self._progress.write(update)
        self._cancellations.apply()
        self._source.tick(now)
        for answer in [*self._circuit.take_withheld(), *self._take_undecided()]:
            self._decide(answer)

    def publish(self, answer: Answer) -> None:
        """Publish the child's answer, unless its job runs again here or is another worker's. From the child's reader thread."""
        job = self._in_flight.get(answer.slot)
        if job is not None and self._circuit.permits(job, answer):
            self._decide(answer)

    def _decide(self, answer: Answer) -> None:
        job = self._in_flight.get(answer.slot)
        if job is None:
            return
        retry = answer.disposition is Disposition.RETRY
        if self._ordered is not None and retry and self._ordered.retry_here(job, answer):
            return
        decision = self._source.may_publish(job, answer)
        if decision:
            if retry and not answer.postponed:  # a postponed job has not begun: progress would end its wait
                self._report_retry(answer)
            self._publisher.publish(answer)
        elif decision is None:
            self._undecided.append(answer)

    def _report_retry(self, answer: Answer) -> None:
        """Say that another attempt follows, after all other updates of this one: those who watch the job see it at once."""
        message = f"attempt {answer.attempt + 1} in {max(0, answer.retry_in_ms) / 1000:.1f} s"
        self._progress.write(ProgressUpdate(answer.slot, LAST_SEQUENCE - 1, "retrying", None, message))

    def _take_undecided(self) -> list[Answer]:
        return [self._undecided.popleft() for _ in range(len(self._undecided))]

    def report(self, update: ProgressUpdate) -> None:
        """Publish generated text. From the child's reader thread or the engine's."""
        self._progress.write(update)

    def deadline(self, job: InFlightJob) -> datetime | None:
        return self._progress.deadline(job)

    def _admit(self, jobs: list[InFlightJob]) -> None:
        if not jobs:
            return
        cancelled = self._reject_cancelled(jobs)
        self._source.dispatch(jobs if self._ordered is None else self._ordered.admit(jobs))
        if cancelled:  # so that they are answered while the device works
            self._supervisor.cancel(cancelled)
        self._source.tick(time.monotonic())

    def _reject_cancelled(self, jobs: list[InFlightJob]) -> list[int]:
        """Reject the jobs that are cancelled already; return their slots."""
        return self._cancellations.reject_cancelled(jobs) if self._commands.state.any_cancelled else []

    def _send_due(self, ordered: OrderedJobs) -> None:
        due = ordered.due(time.monotonic())
        if due:
            self._reject_cancelled(due)
            self._source.dispatch(due)

    def _revoked(self, origins: Sequence[JobOrigin]) -> None:
        if self._ordered is not None:
            self._ordered.forget(origins)

    # ── stopping ──

    def drain(self, until: float, tick: Callable[[], None]) -> bool:
        """Finish the jobs that have begun, and release the others for another worker; return False at the time `until`.

        A job whose process crashed here is tried again here, too: its count of crashes is handed over, Flag.ISOLATED is not, so
        another worker would run it among others first.
        """
        log.info("draining", in_flight=len(self._in_flight))
        restarts = -1
        while len(self._in_flight):
            if time.monotonic() >= until:
                return False
            self._source.release(self._source.pause(0.0))
            tick()
            if restarts != self._supervisor.restarts:  # a new child was given everything again
                restarts = self._supervisor.restarts
                queued = [job for job in self._in_flight.with_child() if job.state is JobState.QUEUED]
                self._source.release([job for job in queued if not job.flags & Flag.ISOLATED])
            self._source.release(self._in_flight.set_aside())
            self._supervisor.pump(0)
            self._in_flight.wait_until_empty(DRAIN_POLL_S)
        return True

    def close(self) -> None:
        """Give up what is left, after the child has ended. Whatever fails, the rest is closed."""
        with ExitStack() as stack:
            stack.callback(self._publisher.stop, PUBLISHER_STOP_S)
            stack.callback(self._source.close)


def check_custody(settings: Settings, processor: str, ready: Mapping[str, Any]) -> None:
    """Raise StartupError if contract and policy name different owners of waiting jobs: then no worker would take them.

    Submitters and the sink read the contract; the worker obeys the policy, as the child's READY message says it.
    SLUICE_LEASED overrides both, except for a processor whose jobs have an order: leases keep none.
    """
    made, actual = contract(processor), ready["custody"]
    if actual != made.custody:
        raise StartupError(
            f"The contract of processor {processor!r} says custody {made.custody!r}, its policy says {actual!r}.",
            next_step=f"Let ProcessorContract(custody=…) and Policy(custody=…) of {processor!r} say the same.",
        )
    overridden = settings.custody(made) != made.custody
    if overridden and ready["order"] != Order.NONE:
        raise StartupError(
            f"SLUICE_LEASED names {processor!r}, whose policy asks for order {ready['order']!r}: leases keep no order.",
            next_step=f"Take {processor!r} out of SLUICE_LEASED.",
        )
