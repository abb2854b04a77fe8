"""Turns folds into rows for the store, and an outcome into its delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from connectors.jsonb import jsonb
from connectors.sink_store import HistoryRow, LeaseRow, ProgressEnd, RunRow
from schemas.ids import is_job_id
from schemas.plain import to_plain
from schemas.records import JobHeader
from schemas.states import Mode, State
from streams.notify.pending_delivery import PendingDelivery
from streams.notify.service import ProgressRule
from streams.sink.event import Event, Phase, TerminalResult
from streams.sink.fold import JobFold, RunFold
from streams.sink.topic_table import TopicTable

_LEASE_PHASE = {Phase.REQUESTED: "requested", Phase.RETRYING: "retrying", Phase.ENDED: "ended"}
_DEFAULTS = to_plain(JobHeader("", "", datetime.fromtimestamp(0, UTC), ""))
_NEEDED = (
    *("job_id", "processor", "created_at", "input_sha256", "run", "attempt", "tenant", "mode", "lane", "custody"),
    *("callback_url", "callback_profile", "deadline", "not_before", "source_coordinates"),
)
#: The longest text, in characters, that fits an index entry of 2704 bytes.
LONGEST_KEY = 512
#: Characters of an id that shares an index entry with its tenant, and of a tenant.
LONGEST_ID = LONGEST_TENANT = 256
_STATE_OF = {Phase.REQUESTED: State.PENDING, Phase.RETRYING: State.RETRYING}


def run_rows(
    folds: Iterable[JobFold], notifier: bytes | None, progress_rule: ProgressRule | None = None
) -> list[RunRow]:
    """Return one row per run; the first row of a job also carries the job's fields. `notifier` will get the deliveries."""
    rows = []
    for job in folds:
        current = max((run for run, fold in job.runs.items() if not _is_shadow(fold.best)), default=0)
        for n, run in enumerate(job.runs.values()):
            rows.append(_run_row(job, run, n == 0, current, notifier, progress_rule))
    return rows


def history_rows(folds: Iterable[JobFold]) -> list[HistoryRow]:
    """Return one row per event, also for events that change nothing."""
    return [
        HistoryRow(e.job_id, *e.position, e.run, e.attempt, entry.kind, entry.role, e.at, None)
        for job in folds
        for entry in job.history
        for e in (entry.event,)
    ]


def lease_rows(folds: Iterable[JobFold], table: TopicTable) -> list[LeaseRow]:
    """Return one row per run whose job is claimed by lease; none for a request that the timekeeper will release later."""
    return [
        _lease_row(job, run.best, table)
        for job in folds
        for run in job.runs.values()
        if (run.best.leased and _not_before(run.best) is None)
        or (not run.best.leased and table.leased(job.first.header))
    ]


def _not_before(event: Event) -> datetime | None:
    """Return when the timekeeper will release the request; None if it may run or was released already."""
    release_at: datetime | None = event.header["not_before"] if event.header["source_coordinates"] is None else None
    return release_at


def _lease_row(job: JobFold, best: Event, table: TopicTable) -> LeaseRow:
    """Include the request if it moved the run. Its processor is the topic's; the header's processor is not trusted."""
    run_part = (best.job_id, best.run, _LEASE_PHASE[best.phase], best.attempt, job.first.header["input_sha256"])
    if not best.leased:
        return LeaseRow(*run_part, best.header["processor"], replay_id=_uuid(best.header["replay_id"]))
    message = best.message
    headers: Any = message.headers() or ()
    return LeaseRow(
        *run_part,
        table.topics[message.topic() or ""].processor,
        best.header["lane"],
        message.key() or best.header["job_id"].encode(),
        message.value() or b"",
        jsonb([[name, _text(value)] for name, value in headers]),
        *best.position,
        _uuid(best.header["replay_id"]),
    )


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def delivery_id(job_id: bytes, run: int, kind: str = "outcome", sequence: int = 0) -> bytes:
    """Return the id of a job's delivery, always the same for the same arguments (UUIDv8, RFC 9562).

    It begins like the job's id, so that new rows are neighbours in the index instead of scattered over it."""
    digest = hashlib.blake2b(b"%b:%d:%b:%d" % (job_id, run, kind.encode(), sequence), digest_size=10).digest()
    return job_id[:6] + bytes((0x80 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F)) + digest[3:]


def callback_of(job: JobFold, event: Event) -> str | None:
    """Return the callback URL for a terminal event; None if the batch does not have it, or for a shadow run.

    An event that could not be decoded (it has no input hash) uses the URL of the job's request."""
    if _is_shadow(event):
        return None
    url: str | None = _callback_header(job, event)["callback_url"]
    return url


def _callback_header(job: JobFold, event: Event) -> Mapping[str, Any]:
    return event.header if event.header["input_sha256"] else job.first.header


def _is_shadow(event: Event) -> bool:
    return bool(event.header.get("mode") == Mode.SHADOW)


def _run_row(
    job: JobFold,
    run: RunFold,
    carries_job: bool,
    current_run: int,
    notifier: bytes | None,
    progress_rule: ProgressRule | None,
) -> RunRow:
    first, best = job.first.header, run.best
    topic_id, partition, offset = run.request_position or (None, None, None)
    callback_url, profile = callback_of(job, best), _callback_header(job, best)["callback_profile"]
    delivery = delivery_id(best.job_id, best.run) if best.terminal is not None and not _is_shadow(best) else None
    row = (
        best.job_id,
        best.run,
        carries_job,
        current_run,
        first["created_at"],
        first["tenant"][:LONGEST_TENANT],
        first["processor"],
        first["input_sha256"],
        _key(first["external_id"], LONGEST_ID),
        _key(first["case_id"], LONGEST_ID),
        _key(first["upload_id"], LONGEST_ID),
        _key(first["batch_id"]),
        first["parent_job_id"],
        callback_url,
        profile,
        progress_rule is not None and progress_rule(profile, first["processor"], callback_url),
        _labels(first["labels"]),
        _uuid(best.header["replay_id"]),
        best.header["mode"],
        best.header["lane"],
        best.terminal.state if best.terminal is not None else _STATE_OF[best.phase],
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
        delivery,
        notifier if delivery is not None and callback_url else None,
    )
    return RunRow._make(row)


def _key(value: str | None, longest: int = LONGEST_KEY) -> str | None:
    """Return the value for an indexed column; None if it is too long, which our clients refuse: cut off, it is another id."""
    return value if value is None or len(value) <= longest else None


def _uuid(text: str | None) -> bytes | None:
    return UUID(text).bytes if text is not None and is_job_id(text) else None


def bare(event: Event) -> Event:
    """Return the event with only the fields that a job needs; a terminal event keeps its error code and callback URL."""
    header = {**_DEFAULTS, **{name: event.header[name] for name in _NEEDED}}
    terminal = event.terminal
    if terminal is not None:
        error = terminal.error or {}
        kept = {name: str(error[name])[:LONGEST_KEY] for name in ("code", "message") if error.get(name)}
        terminal = TerminalResult(terminal.state, kept or None)
    return event._replace(header=header, terminal=terminal, owner=None)


def _candidate(event: Event) -> tuple[Any, ...]:
    terminal = event.terminal
    if terminal is None:
        return (None,) * 19
    error = terminal.error or {}
    return (
        terminal.state,
        error.get("code"),
        error.get("message"),
        error.get("fingerprint"),
        terminal.output,
        terminal.refs,
        terminal.device,
        terminal.device_note,
        terminal.model_version,
        terminal.model_sha256,
        terminal.code_version,
        event.header["input_sha256"] if event.header["replay_id"] is not None else None,
        terminal.reused_from,
        terminal.started_at,
        terminal.finished_at,
        terminal.run_ms,
        *event.position,
    )


def _labels(labels: dict[str, str] | None) -> bytes | None:
    return jsonb(labels) if labels else None


def progress_end(job_id: bytes, run: int, notifier: bytes | None) -> ProgressEnd:
    return ProgressEnd(delivery_id(job_id, run), delivery_id(job_id, run, "progress"), notifier)


def pending_delivery(job: JobFold, winner: Event, decided_at: datetime) -> PendingDelivery | None:
    """Return the delivery of an outcome that was just stored; None if it has no callback, or only the store knows its URL
    (then it is claimed from there)."""
    destination = callback_of(job, winner)
    if not destination or winner.terminal is None:
        return None
    row = {
        **{name: winner.header[name] for name in _DELIVERED},
        "status": winner.terminal.state,
        "model_version": winner.terminal.model_version,
        "output": winner.terminal.plain_output,
        "error": winner.terminal.error,
        "output_refs": winner.terminal.plain_refs,
        "decided_at": decided_at,
        "callback_profile": _callback_header(job, winner)["callback_profile"],
    }
    return PendingDelivery.of(delivery_id(winner.job_id, winner.run), destination, row)


#: Header fields that the callback's body repeats.
_DELIVERED = ("job_id", "run", "attempt", "processor", "tenant", "external_id", "case_id", "upload_id", "batch_id")
