"""Records of the log that streams of events are made of: progress, generated text, and outcomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import BaseModel

from connectors.views import JobStatus
from gateway.models import Job
from gateway.result_body import JobResult, result_of_record
from schemas.codec import Codec
from schemas.errors import SluiceError
from schemas.plain import from_plain
from schemas.records import JobHeader, Progress
from schemas.states import State
from streams import logs
from streams.client.event_record import EventRecord
from streams.client.job_options import LARGEST_NUMBER

log = logs.get("gateway")

#: `stage` and least sequence of the progress that says that another attempt follows (streams/worker/ordering.py).
RETRYING = "retrying"
LATE = LARGEST_NUMBER - 1


class ProgressBody(BaseModel):
    """Progress of a run. `percent`: null if the processor can't tell."""

    job_id: str
    run: int
    attempt: int
    execution: int
    sequence: int
    stage: str
    percent: float | None
    message: str
    at: datetime


class TextBody(BaseModel):
    """A piece of generated text. `sequence` counts the pieces; the piece with sequence 1 replaces all text before it, because
    the job began again."""

    job_id: str
    run: int
    attempt: int
    execution: int
    sequence: int
    text: str
    at: datetime


class Event(NamedTuple):
    """`data`: JSON."""

    name: str
    data: str


class Record(EventRecord):
    """A record that is decoded when it is first asked for. `name`: the short name of its topic."""

    def __init__(self, codec: Codec, name: str, message: Any) -> None:
        super().__init__(name, message)
        self._codec = codec

    @cached_property
    def progress(self) -> Progress | None:
        """The update or the piece of text; None for an outcome, and for a record that can't be read."""
        plain = None if self.is_outcome else self._plain()
        try:
            return None if plain is None else from_plain(Progress, plain)
        except TypeError:
            return None

    @cached_property
    def outcome(self) -> tuple[JobHeader, JobResult] | None:
        plain = self._plain() if self.is_outcome else None
        try:
            return None if plain is None else result_of_record(plain)
        except (SluiceError, TypeError, KeyError, ValueError) as error:
            log.warning("event_not_readable", reason=type(error).__name__)
            return None

    @property
    def run(self) -> int | None:
        """The run that it belongs to; None if it can't be read."""
        if self.is_outcome:
            return None if self.outcome is None else self.outcome[0].run
        return None if self.progress is None else self.progress.run

    def _plain(self) -> dict[str, Any] | None:
        try:
            return self._codec.decode(self.value)
        except SluiceError as error:
            log.warning("event_not_readable", reason=type(error).__name__)
            return None


def events_of(record: Record, status: JobStatus | None) -> list[Event]:
    """Return the events of a record. `status`: of its job, which a change of state is shown on.

    They depend on the record alone, so that a stream can be continued between two of them.
    """
    if record.is_outcome:
        return [] if record.outcome is None else [Event("outcome", record.outcome[1].model_dump_json())]
    made = record.progress
    if made is None:
        return []
    if made.text is not None:
        return [Event("text", _text_json(made))]
    state = State.RETRYING if made.stage == RETRYING and made.sequence >= LATE else State.PROCESSING
    begins = made.sequence == 1 or state is State.RETRYING
    changed = (
        [] if status is None or not begins else [Event("state", Job.of(shown(status, made, state)).model_dump_json())]
    )
    return [*changed, Event("progress", _progress_json(made))]


def shown(status: JobStatus, made: Progress, state: State) -> JobStatus:
    """Return the job's status as of this progress, which the sink stores a moment later."""
    return replace(
        status,
        run=made.run,
        state=state.value,
        attempt=made.attempt,
        stage=made.stage,
        percent=made.percent,
        message=made.message,
        updated_at=made.at,
        error_code=None,
        error_message=None,
        finished_at=None,
    )


def _text_json(made: Progress) -> str:
    return TextBody.model_validate(made, from_attributes=True).model_dump_json()


def _progress_json(made: Progress) -> str:
    return ProgressBody.model_validate(made, from_attributes=True).model_dump_json()
