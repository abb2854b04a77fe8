"""Publishes the progress of long jobs, and the text that jobs generate. The rare place where the parent uses the codec."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.avsc import self_contained
from schemas.envelope import header_of
from schemas.errors import SluiceError
from schemas.headers import MODE
from schemas.records import JobHeader, Progress
from schemas.states import Mode
from streams import logs, wiring
from streams.settings import Settings
from streams.worker.header_from_kafka import header_from_kafka
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.protocol import ChildConfig, Flag
from streams.worker.supervision.limits import ProgressUpdate, deadline_from_headers
from streams.worker.transport import ResultPublisher

log = logs.get("worker")


class ProgressPublisher:
    def __init__(
        self, settings: Settings, publisher: ResultPublisher, in_flight: InFlightJobs, config: ChildConfig
    ) -> None:
        self._publisher = publisher
        self._in_flight = in_flight
        self._config = config
        self._topic = settings.topics.progress
        self._codec = wiring.codec(settings, config.schema_ids)
        self._typed = self._codec.typed(Progress, f"{self._topic}-value", self_contained("Progress"))
        self._warned = False

    def write(self, update: ProgressUpdate) -> None:
        """Publish an update; leave out one that can't be encoded, since progress must never stop a worker."""
        job = self._in_flight.get(update.slot)
        header = None if job is None or job.flags & Flag.TEST else self._header(job)
        if job is None or header is None:
            return
        record = Progress(
            job_id=header.job_id,
            run=header.run,
            attempt=job.attempt or header.attempt,
            execution=job.execution,
            sequence=update.sequence,
            processor=self._config.processor,
            stage=update.stage,
            worker_id=self._config.worker_id,
            at=datetime.now(UTC),
            percent=update.percent,
            message=update.message,
            text=update.text,
        )
        try:
            value = self._typed.encode(record)
        except SluiceError as error:
            if not self._warned:
                self._warned = True
                log.warning("progress_not_published", job_id=record.job_id, reason=type(error).__name__)
            return
        # Those who watch all jobs must not take it for progress of the run that counts.
        marks = () if header.mode == Mode.LIVE else ((MODE, header.mode.encode()),)
        self._publisher.write(self._topic, record.job_id.encode(), value, marks)

    def deadline(self, job: InFlightJob) -> datetime | None:
        """Return the job's deadline by its Kafka headers; a request without our headers costs one decode."""
        if job.flags & Flag.TEST:
            return None
        deadline = deadline_from_headers(job)
        if deadline.known:
            return deadline.at
        header = self._header(job)
        return None if header is None else header.deadline

    def _header(self, job: InFlightJob) -> JobHeader | None:
        frame = job.frame()
        header = header_from_kafka(frame, self._config.processor)
        if header is not None:
            return header
        try:
            return header_of(self._codec.decode(frame.value))
        except Exception:  # noqa: BLE001 - a foreign record may break any step; the child reports what is wrong with it
            return None
