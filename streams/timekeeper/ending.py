"""Ends runs that no worker will end: each by a result of the timekeeper's, which competes like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError

from connectors.due_store import DueRun
from schemas.errors import ErrorCode, SluiceError, Unreachable
from schemas.plain import to_plain
from schemas.records import Coordinates, JobHeader
from streams import logs
from streams.health.loop_threads import frames_of
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.record_writer import RecordWriter

log = logs.get("timekeeper")

#: A run: its job's id and its number.
RunKey = tuple[str, int]
#: A longer text is left out of a reduced header.
LONGEST_TEXT = 2048


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ends. `header`: the request's, None if it could not be read. `coordinates`: the request's, if known."""

    due: DueRun
    code: ErrorCode
    message: str
    header: Mapping[str, Any] | None = None
    coordinates: Coordinates | None = None


class RunEnder:
    """Publishes results that end runs. No run keeps another one from its end."""

    def __init__(self, writer: RecordWriter, publisher: RecordPublisher) -> None:
        self._writer = writer
        self._publisher = publisher

    def publish(self, ends: Iterable[RunEnd]) -> set[RunKey]:
        """Publish the ends; return the runs whose result is confirmed. Raises Unreachable.

        The request's header may be of any size. If a result can't be made with it, or is refused, a smaller header takes its
        place.
        """
        left = {run_key(end.due): end for end in ends}
        confirmed: set[RunKey] = set()
        for header_of in (_own_header, _reduced_header, _minimal_header):
            failed = self._try(left, header_of)
            confirmed |= left.keys() - failed
            left = {key: left[key] for key in failed}
        for key, end in left.items():
            log.error("run_not_ended", job_id=key[0], run=key[1], code=str(end.code))
        return confirmed

    def _try(self, ends: Mapping[RunKey, RunEnd], header_of: Callable[[RunEnd], Mapping[str, Any]]) -> set[RunKey]:
        """Publish the ends with these headers; return those that failed."""
        failed: set[RunKey] = set()
        for key, end in ends.items():
            try:
                header = header_of(end)
                self._writer.end_run(key, end.due, header, end.coordinates, end.code, end.message)
            except Unreachable:
                self._publisher.flush()  # leaves no queued record to the next duty
                raise
            except SluiceError as error:
                failed.add(key)
                log.warning("end_not_encoded", job_id=key[0], code=str(error.code), reason=str(error))
            except Exception as error:  # noqa: BLE001 - a header from outside; the other runs end all the same
                failed.add(key)
                log.warning("end_not_encoded", job_id=key[0], reason=type(error).__name__, frames=frames_of(error))
        errors: Mapping[RunKey, KafkaError] = self._publisher.flush()
        for key, refusal in errors.items():
            log.warning("end_not_published", job_id=key[0], code=refusal.name())
        return failed | errors.keys()


def run_key(due: DueRun) -> RunKey:
    return due.job_id, due.run


def _own_header(end: RunEnd) -> Mapping[str, Any]:
    return _minimal_header(end) if end.header is None else {**end.header, "processor": end.due.processor}


def _reduced_header(end: RunEnd) -> Mapping[str, Any]:
    """Return the fields of the request's header whose size is bounded."""
    minimal = _minimal_header(end)
    given = {name: value for name, value in (end.header or {}).items() if name in minimal and _is_short(name, value)}
    return {**minimal, **given, "processor": end.due.processor}


def _is_short(name: str, value: object) -> bool:
    return name != "labels" and (not isinstance(value, str) or len(value) <= LONGEST_TEXT)


def _minimal_header(end: RunEnd) -> Mapping[str, Any]:
    """Return what the store knows of the run. Without an input hash the sink uses the callback of the stored job."""
    due = end.due
    return to_plain(JobHeader(due.job_id, due.processor, due.created_at, "", mode=due.mode))
