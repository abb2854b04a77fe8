"""Writes signs of life of long jobs to the progress topic. The rare place where the parent uses the codec."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.avsc import self_contained
from schemas.envelope import header_of
from schemas.errors import SluiceError
from schemas.records import JobHeader, Progress
from streams import logs, wiring
from streams.settings import Settings
from streams.worker.in_flight import InFlightJob, InFlightJobs
from streams.worker.protocol import ChildConfig, header_from_kafka
from streams.worker.publisher import Publisher
from streams.worker.supervision import deadlines
from streams.worker.supervision.limits import ProgressUpdate

log = logs.get("worker")


class ProgressPublisher:
    def __init__(self, settings: Settings, publisher: Publisher, ledger: InFlightJobs, config: ChildConfig) -> None:
        self._publisher = publisher
        self._ledger = ledger
        self._config = config
        self._codec = wiring.codec(settings, config.schema_ids)
        self._typed = self._codec.typed(Progress, f"{settings.topics.progress}-value", self_contained("Progress"))
        self._refused = False

    def write(self, note: ProgressUpdate) -> None:
        """Publish a word. One that can't be written down is left out: a sign of life must never stop a worker."""
        held = self._ledger.held(note.slot)
        header = None if held is None else self._header(held)
        if held is None or header is None:
            return
        told = Progress(
            job_id=header.job_id,
            run=header.run,
            attempt=held.attempt or header.attempt,
            execution=held.execution,
            sequence=note.sequence,
            processor=self._config.processor,
            stage=note.stage,
            worker_id=self._config.worker_id,
            at=datetime.now(UTC),
            percent=note.percent,
            message=note.message,
        )
        try:
            value = self._typed.encode(told)
        except SluiceError as error:
            if not self._refused:
                self._refused = True
                log.warning("progress_not_published", job_id=told.job_id, reason=type(error).__name__)
            return
        self._publisher.progress(told.job_id, value)

    def deadline(self, held: InFlightJob) -> datetime | None:
        """When the job must be done. By Kafka's headers; a producer without them costs one decode."""
        told = deadlines.deadline_from_headers(held)
        if told.known:
            return told.at
        header = self._header(held)
        return None if header is None else header.deadline

    def _header(self, held: InFlightJob) -> JobHeader | None:
        """By Kafka's headers; a producer without them costs one decode."""
        frame = held.frame()
        told = header_from_kafka(frame, self._config.processor)
        if told is not None:
            return told
        try:
            return header_of(self._codec.decode(frame.value))
        except SluiceError:
            return None  # the child will say what is wrong with it
