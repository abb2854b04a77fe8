"""Hands in results through a gateway, and keeps each until the gateway has confirmed it or given the job to another worker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from connectors.gateway_client.client import GatewayClient
from connectors.gateway_client.wire import to_text
from connectors.lease_store import Hold
from schemas.errors import Conflict, ErrorCode, PayloadTooLarge, SluiceError, Unreachable
from schemas.headers import Header
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.lease_source.held import HeldLease
from streams.worker.protocol import Answer

log = logs.get("worker")

#: Pause before a result is handed in again: the first, doubled each time, and the longest.
PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
#: Progress records that wait; the oldest are dropped, as newer ones say more.
MOST_PROGRESS = 200
#: Progress records that are sent at once.
AT_ONCE = 50


class GatewayPublisher:
    """Implements `streams.worker.transport.ResultPublisher`. Results go first; progress is sent when none waits, and may be
    lost. `too_large` is called with a job whose result is refused for its size: the child makes a small one."""

    def __init__(
        self,
        client: GatewayClient,
        in_flight: InFlightJobs,
        processor: str,
        worker_id: str,
        too_large: Callable[[InFlightJob], None],
        threads: LoopThreads,
    ) -> None:
        self._client = client
        self._in_flight = in_flight
        self._worker_id = worker_id
        self._too_large = too_large
        self._changed = threading.Condition()
        self._results: deque[tuple[InFlightJob, Answer]] = deque()
        self._progress: deque[bytes] = deque(maxlen=MOST_PROGRESS)
        self._progress_failed = False
        self._tries = 0  # of the first result
        self._stopping = False
        self._thread = threads.new(f"deliver-{processor}", self._run, lambda: self._stopping)
        self.published = 0
        self.dead_lettered = 0
        self.fault: str | None = None

    def start(self) -> None:
        self._thread.start()

    def publish(self, answer: Answer) -> None:
        job = self._in_flight.answered(answer.slot, 1)
        if job is None:
            return
        if answer.postponed:
            self._in_flight.confirmed([job])
            return
        self.published += bool(answer.value)
        self.dead_lettered += bool(answer.dead_reason)
        with self._changed:
            self._results.append((job, answer))
            self._changed.notify_all()

    def write(self, topic: str, key: bytes, value: bytes, kafka_headers: Sequence[Header] = ()) -> None:
        """Send a record of progress; the gateway knows topic, key and Kafka headers."""
        with self._changed:
            self._progress.append(value)
            self._changed.notify_all()

    def stop(self, timeout: float) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._client.close()

    # ── the thread ──

    def _run(self) -> None:
        while (work := self._next()) is not None:
            if isinstance(work, list):
                self._send_progress(work)
            else:
                self._hand_in(*work)

    def _next(self) -> tuple[InFlightJob, Answer] | list[bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._progress or self._stopping)
            if self._results:  # also while stopping: `close` of the source has waited for them, or not
                return None if self._stopping else self._results[0]
            if self._progress:
                return [self._progress.popleft() for _ in range(min(AT_ONCE, len(self._progress)))]
            return None

    def _hand_in(self, job: InFlightJob, answer: Answer) -> None:
        """Hand in the first result; on a failure that passes it stays first."""
        try:
            self._client.call("POST", "/results", self._body(job, answer))
        except Unreachable as error:
            self._wait_after(job, error)
            return
        except Conflict:
            self._give_up(job, "result_discarded", "its lease was lost")
        except PayloadTooLarge as error:
            self._refused_for_size(job, error)
        except SluiceError as error:
            self._give_up(job, "result_refused", f"{error.code}: {error.message}")
        else:
            self._in_flight.confirmed([job])
        self.fault, self._tries = None, 0
        with self._changed:
            self._results.popleft()

    def _body(self, job: InFlightJob, answer: Answer) -> dict[str, Any]:
        lease = job.origin
        assert isinstance(lease, HeldLease)
        hold: Hold = lease.hold._replace(execution=answer.execution)
        return {
            "worker_id": self._worker_id,
            **hold._asdict(),
            "value": to_text(answer.value),
            "dead_reason": answer.dead_reason,
            "dead_message": answer.dead_message[:1000],
        }

    def _wait_after(self, job: InFlightJob, error: Unreachable) -> None:
        lease = job.origin
        assert isinstance(lease, HeldLease)
        self._tries += 1
        pause = min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** min(self._tries - 1, 10))
        self.fault = error.message
        log.warning(
            "result_waits",
            job_id=lease.grant.job_id,
            run=lease.grant.run,
            reason=error.message,
            tries=self._tries,
            results=len(self._results),
        )
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, pause)

    def _refused_for_size(self, job: InFlightJob, error: PayloadTooLarge) -> None:
        if job.error_code == ErrorCode.PAYLOAD_TOO_LARGE.encode():
            self._give_up(job, "result_refused", error.message)
        else:
            self._too_large(job)

    def _give_up(self, job: InFlightJob, event: str, reason: str) -> None:
        """Forget the job without settling its lease: it is another worker's, or is tried again when the lease expires."""
        lease = job.origin
        assert isinstance(lease, HeldLease)
        log.warning(event, job_id=lease.grant.job_id, run=lease.grant.run, reason=reason)
        lease.mark(lost=True)
        self._in_flight.confirmed([job])

    def _send_progress(self, records: list[bytes]) -> None:
        body = {"worker_id": self._worker_id, "records": [to_text(record) for record in records]}
        try:
            self._client.call("POST", "/progress", body)
            self._progress_failed = False
        except SluiceError as error:
            if not self._progress_failed:
                log.warning("progress_not_sent", reason=error.message, records=len(records))
            self._progress_failed = True
