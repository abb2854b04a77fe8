"""Folds as rows for the store, and the delivery that an outcome owes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from connectors.jsonb import jsonb
from connectors.store import HistoryRow, LeaseRow, RunRow
from schemas.plain import to_plain
from schemas.records import JobHeader
from schemas.states import Mode, State
from streams.notify.pending_delivery import PendingDelivery
from streams.sink.event import Event, Phase, TerminalResult
from streams.sink.fold import JobFold, RunFold
from streams.sink.topic_table import TopicTable

_LEASE_PHASE = {Phase.REQUESTED: "requested", Phase.RETRYING: "retrying", Phase.ENDED: "ended"}
_NOTHING = to_plain(JobHeader("", "", datetime.fromtimestamp(0, UTC), ""))
_NEEDED = (
    *("job_id", "processor", "created_at", "input_sha256", "run", "attempt", "tenant", "mode", "lane", "custody"),
    *("callback_url", "deadline", "not_before", "source_coordinates"),
)
#: What an index has room for, in characters: 2704 bytes.
LONGEST_KEY = 512
_STATE_OF = {Phase.REQUESTED: State.PENDING, Phase.RETRYING: State.RETRYING}


def run_rows(folds: Iterable[JobFold], notifier: bytes | None) -> list[RunRow]:
    """One row a run; the first of a job carries the job's part. `notifier` is who will be handed the deliveries."""
    rows = []
    for job in folds:
        current = max((run for run, fold in job.runs.items() if not _is_shadow(fold.best)), default=0)
        for n, run in enumerate(job.runs.values()):
            rows.append(_run_row(job, run, n == 0, current, notifier))
    return rows


def history_rows(folds: Iterable[JobFold]) -> list[HistoryRow]:
    """One row an event. An event of a job none of whose events moves anything still has its line."""
    return [
        HistoryRow(e.job_id, *e.place, e.run, e.attempt, told.kind, told.role, e.at, None)
        for job in folds
        for told in job.told
        for e in (told.event,)
    ]


def lease_rows(folds: Iterable[JobFold], table: TopicTable) -> list[LeaseRow]:
    """One row a run whose job is claimed by lease; none for a request that the timekeeper is to release later."""
    return [
        _lease_row(job, run.best, table)
        for job in folds
        for run in job.runs.values()
        if (run.best.leased and _not_before(run.best) is None)
        or (not run.best.leased and table.leased(job.first.header))
    ]


def _not_before(event: Event) -> datetime | None:
    """When the timekeeper is to release a request; None for one that may run, or was released already."""
    when: datetime | None = event.header["not_before"] if event.header["source_coordinates"] is None else None
    return when


def _lease_row(job: JobFold, best: Event, table: TopicTable) -> LeaseRow:
    """With the request, where that is what moved the run. It is claimed by the topic's processor, whatever its header says."""
    told = (best.job_id, best.run, _LEASE_PHASE[best.phase], best.attempt, job.first.header["input_sha256"])
    if not best.leased:
        return LeaseRow(*told, best.header["processor"])
    message = best.message
    headers: Any = message.headers() or ()
    return LeaseRow(
        *told,
        table.topics[message.topic() or ""].processor,
        best.header["lane"],
        message.key() or best.header["job_id"].encode(),
        message.value() or b"",
        jsonb([[name, _text(value)] for name, value in headers]),
        *best.place,
    )


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def delivery_id(job_id: bytes, run: int, kind: str = "outcome", sequence: int = 0) -> bytes:
    """The same for the same message, however often it is made; it begins like its job's id (UUIDv8, RFC 9562), so that new
    rows lie side by side in the index instead of all over it."""
    digest = hashlib.blake2b(b"%b:%d:%b:%d" % (job_id, run, kind.encode(), sequence), digest_size=10).digest()
    return job_id[:6] + bytes((0x80 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F)) + digest[3:]


def callback_of(job: JobFold, end: Event) -> str | None:
    """Whom to tell of this end, as far as the batch knows. A shadow run is told to nobody; an end that could not be read
    itself (it has no input hash) is told to whom the job's request named."""
    if _is_shadow(end):
        return None
    url: str | None = (end.header if end.header["input_sha256"] else job.first.header)["callback_url"]
    return url


def _is_shadow(event: Event) -> bool:
    return bool(event.header.get("mode") == Mode.SHADOW)


def _run_row(job: JobFold, run: RunFold, leads: bool, current_run: int, notifier: bytes | None) -> RunRow:
    first, best = job.first.header, run.best
    topic_id, partition, offset = run.request_place or (None, None, None)
    callback_url = callback_of(job, best)
    owed = delivery_id(best.job_id, best.run) if best.ending is not None and not _is_shadow(best) else None
    row = (
        best.job_id,
        best.run,
        leads,
        current_run,
        first["created_at"],
        first["tenant"],
        first["processor"],
        first["input_sha256"],
        first["external_id"],
        first["case_id"],
        first["upload_id"],
        _key(first["batch_id"]),
        first["parent_job_id"],
        callback_url,
        _labels(first["labels"]),
        best.header["mode"],
        best.header["lane"],
        best.ending.state if best.ending is not None else _STATE_OF[best.phase],
        best.attempt,
        best.execution,
        best.sequence,
        best.owner,
        best.retry_in_ms,
        best.header["deadline"],
        _not_before(best),
        topic_id,
        partition,
        offset,
        *_candidate(best),
        owed,
        notifier if owed is not None and callback_url else None,
    )
    return RunRow._make(row)


def _key(value: str | None) -> str | None:
    """Of an indexed column. A longer one, which no producer of ours sends, does not fit; cut, it would name another batch."""
    return value if value is None or len(value) <= LONGEST_KEY else None


def bare(event: Event) -> Event:
    """The event with nothing but what a job can't do without; an end keeps its code and whom it is told to."""
    header = {**_NOTHING, **{name: event.header[name] for name in _NEEDED}}
    ending = event.ending
    if ending is not None:
        error = ending.error or {}
        told = {name: str(error[name])[:LONGEST_KEY] for name in ("code", "message") if error.get(name)}
        ending = TerminalResult(ending.state, told or None)
    return event._replace(header=header, ending=ending, owner=None)


def _candidate(event: Event) -> tuple[Any, ...]:
    ending = event.ending
    if ending is None:
        return (None,) * 15
    error = ending.error or {}
    return (
        ending.state,
        error.get("code"),
        error.get("message"),
        error.get("fingerprint"),
        ending.output,
        ending.refs,
        ending.device,
        ending.device_note,
        ending.model_version,
        ending.started_at,
        ending.finished_at,
        ending.run_ms,
        *event.place,
    )


def _labels(labels: dict[str, str] | None) -> bytes | None:
    return jsonb(labels) if labels else None


def owed_by(job: JobFold, end: Event, decided_at: datetime) -> PendingDelivery | None:
    """What is to be told of an outcome that was just stored; None when it is told to nobody, or when only the store knows
    to whom (then it is claimed from there)."""
    destination = callback_of(job, end)
    if destination is None or end.ending is None:
        return None
    row = {
        **{name: end.header[name] for name in _TOLD},
        "status": end.ending.state,
        "model_version": end.ending.model_version,
        "output": end.ending.plain_output,
        "error": end.ending.error,
        "output_refs": end.ending.plain_refs,
        "decided_at": decided_at,
    }
    return PendingDelivery(delivery_id(end.job_id, end.run), destination, row)


_TOLD = ("job_id", "run", "attempt", "processor", "tenant", "external_id", "case_id", "upload_id", "batch_id")
