"""Fetches an attempt again as it was: the exact bytes of its request, and the result that a worker wrote."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from connectors.payload_store import Payload
from connectors.views import HistoryLine, JobView
from schemas.codec import Codec
from schemas.errors import NotFound, SluiceError, Unreachable
from schemas.plain import from_plain
from schemas.records import Coordinates, ErrorInfo, ResultInfo
from streams import wiring
from streams.explain.log_search import search
from streams.settings import Settings
from streams.timekeeper.requests import RequestReader

READ_S = 5.0


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """`value`: the request as it was published. `request`: its place, None if it comes from Postgres. `info` and `output`: of
    the attempt's result, None if there is none. `state`: the run's, None if Postgres did not answer."""

    job_id: str
    run: int
    attempt: int
    processor: str
    value: bytes
    request: Coordinates | None
    result: Coordinates | None = None
    info: ResultInfo | None = None
    output: Any = None
    state: str | None = None

    @property
    def error(self) -> ErrorInfo | None:
        return None if self.info is None else self.info.error


def fetch_attempt(settings: Settings, codec: Codec, job_id: str, run: int | None, attempt: int | None) -> StoredAttempt:
    """Return an attempt of a job: of its current run and its last attempt, unless others are named.

    Without Postgres the log is searched. Raises NotFound, Unreachable.
    """
    try:
        with wiring.job_store(settings) as jobs:
            view = jobs.job(job_id, run)
        payload = None
        if view is not None:
            with wiring.payload_store(settings) as payloads:
                payload = payloads.payload(job_id, view.run)
    except Unreachable:
        return _searched(settings, codec, job_id, run, attempt)
    if view is None:
        return _searched(settings, codec, job_id, run, attempt)
    return _stored(settings, codec, view, payload, attempt)


def _stored(
    settings: Settings, codec: Codec, view: JobView, payload: Payload | None, attempt: int | None
) -> StoredAttempt:
    number = attempt or view.attempt
    request = _latest([each for each in view.history if each.kind == "request"], view.run, number) or view.request
    ended = [each for each in view.history if each.kind in ("result", "retry") and each.attempt == number]
    result = _latest(ended, view.run, number) or (view.result if number == view.attempt else None)
    found = _read(settings, [each for each in (request, result) if each is not None])
    value = found.get(request) if request is not None else None
    if value is None and payload is not None:
        request, value = None, payload.value
    if value is None:
        raise NotFound(
            f"The request of job {view.job_id}, run {view.run}, is not in the log any more.",
            next_step="Requests are kept for 14 days; `sluice run-once` runs a processor on an input that you have.",
        )
    info, output = _result(codec, found.get(result) if result is not None else None)
    return StoredAttempt(
        view.job_id, view.run, number, view.processor, value, request, result, info, output, view.state
    )


def _latest(lines: Sequence[HistoryLine], run: int, attempt: int) -> Coordinates | None:
    """Return the newest of these events up to an attempt: one that is retried in place has no request of its own."""
    of = [each for each in lines if each.run == run and each.attempt <= attempt]
    return max(of, key=lambda each: (each.attempt, each.at)).coordinates if of else None


def _searched(settings: Settings, codec: Codec, job_id: str, run: int | None, attempt: int | None) -> StoredAttempt:
    """Find the attempt in the log by the job's id alone."""
    found = search(settings, job_id, settings.served_processors)
    events = [each for each in found.events if run in (None, each.run) and attempt in (None, each.attempt)]
    requests = [each for each in events if each.kind == "request"]
    if not requests:
        raise NotFound(
            f"Neither Postgres nor the log has job {job_id}.", next_step="`sluice jobs` lists jobs with their ids."
        )
    newest = max(requests, key=lambda each: (each.run, each.attempt, each.at))
    same = (newest.run, newest.attempt)
    results = [e.coordinates for e in events if e.kind in ("result", "retry") and (e.run, e.attempt) == same]
    result = results[0] if results else None
    values = _read(settings, [newest.coordinates, *results[:1]])
    info, output = _result(codec, values.get(result) if result is not None else None)
    processor = settings.topics.processor_of(newest.coordinates.topic) or ""
    value = values.get(newest.coordinates, b"")
    return StoredAttempt(job_id, *same, processor, value, newest.coordinates, result, info, output)


def _read(settings: Settings, wanted: Sequence[Coordinates]) -> dict[Coordinates, bytes]:
    if not wanted:
        return {}
    with closing(RequestReader(settings, lambda: None, timeout_s=READ_S)) as reader:
        found = reader.read(wanted).found
    return {where: message.value() or b"" for where, message in found.items() if message is not None}


def _result(codec: Codec, value: bytes | None) -> tuple[ResultInfo | None, Any]:
    if value is None:
        return None, None
    try:
        plain = codec.decode(value)
        return from_plain(ResultInfo, plain["result"]), plain.get("output")
    except Unreachable:
        raise
    except (SluiceError, KeyError, TypeError, AttributeError):
        return None, None
