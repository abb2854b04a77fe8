"""Erases the contents of a case, and says what the log still holds of it and until when (docs/adr/0030)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.claim_store import UPLOADED, ClaimStore
from connectors.memos import memo_folder
from connectors.retention_store import CaseRows, RetentionStore
from schemas.contract import AnyContract
from schemas.topics import declared
from streams import wiring
from streams.admin.topics import broker_topics
from streams.client.commands import CommandClient
from streams.log import kafka
from streams.retention.log_scan import KeptRecord, kept_records, our_topics
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class KeptTopic:
    """Records of the case that a topic still holds. `until`: by its retention; the broker deletes whole segments, so it may
    take longer by the time that a segment covers. None if the topic keeps records forever."""

    topic: str
    records: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of an erasure. `jobs`, `uploads`, `deliveries`: rows whose contents were deleted. `cancelled`: runs that had
    not ended. `objects`: files deleted; `shared`: files left, because another case refers to them."""

    jobs: int
    uploads: int
    deliveries: int
    cancelled: int
    objects: int
    shared: int
    log: list[KeptTopic]
    dry_run: bool


@dataclass(slots=True)
class _InLog:
    """Facts about the log: records of the case by topic with the newest time, and contents of the case and of all others."""

    records: dict[str, int]
    newest: dict[str, datetime]
    contents: set[str]
    others: set[str]


def erase(
    settings: Settings,
    objects: ClaimStore,
    rows: RetentionStore,
    tenant: str,
    case_id: str,
    *,
    by: str,
    dry_run: bool = False,
) -> Erased:
    """Erase a case. Idempotent: after a failure in between run it again. Raises Unreachable, StoreUnavailable."""
    case = rows.case(tenant, case_id)
    in_log = _read_log(settings, case)
    contents = case.contents | in_log.contents
    shared = contents & (in_log.others | rows.others(tenant, case_id, contents))
    uploads, deliveries, jobs, deleted = len(case.upload_ids), case.deliveries, len(case.job_ids), contents - shared
    if not dry_run:
        if case.open_runs:
            with CommandClient(settings, by=by) as commands:
                commands.cancel_many(case.open_runs, "its case was erased")
        # Files first: the rows lead to them, if this is interrupted.
        count = _delete_files(objects, rows, tenant, case_id, deleted, case)
        record = rows.erase(tenant, case_id, by, count)
        jobs, uploads, deliveries = record.jobs, record.uploads, record.deliveries
    else:
        count = len(deleted)
    return Erased(
        jobs=jobs,
        uploads=uploads,
        deliveries=deliveries,
        cancelled=len(case.open_runs),
        objects=count,
        shared=len(shared),
        log=_kept(settings, in_log),
        dry_run=dry_run,
    )


def _read_log(settings: Settings, case: CaseRows) -> _InLog:
    own, found = {*case.job_ids, *case.upload_ids}, _InLog({}, {}, set(), set())
    for record in kept_records(settings, our_topics(settings)):
        if own.isdisjoint(record.ids):
            found.others |= record.contents
        else:
            _note(found, record)
    return found


def _note(found: _InLog, record: KeptRecord) -> None:
    found.records[record.topic] = found.records.get(record.topic, 0) + 1
    found.contents |= record.contents
    if record.at is not None:
        found.newest[record.topic] = max(record.at, found.newest.get(record.topic, record.at))


def _delete_files(
    objects: ClaimStore, rows: RetentionStore, tenant: str, case_id: str, contents: Iterable[str], case: CaseRows
) -> int:
    """Delete the case's files, memos, pieces of uploads and checkpoints; return the number of files that there were."""
    count = 0
    for sha256 in sorted(contents):
        # Asked again for each: another case may have uploaded the same file since.
        if not rows.others(tenant, case_id, [sha256]):
            count += objects.delete(sha256)
    for name in case.parts:
        objects.delete_named(name)
    folders = [f"{folder}/{job_id}" for job_id in case.job_ids for folder in ("checkpoints", UPLOADED)]
    folders += [memo_folder(tenant, input_) for input_ in sorted(case.inputs)]
    for folder in folders:
        for name, _ in list(objects.named(folder)):
            objects.delete_named(name)
    return count


def _kept(settings: Settings, found: _InLog) -> list[KeptTopic]:
    times = _retention(settings, wiring.contracts(settings)) if found.records else {}
    return [
        KeptTopic(topic, count, _until(found.newest.get(topic), times.get(topic)))
        for topic, count in sorted(found.records.items())
    ]


def _until(newest: datetime | None, kept: timedelta | None) -> datetime | None:
    return None if newest is None or kept is None else newest + kept


def _retention(settings: Settings, contracts: list[AnyContract]) -> Mapping[str, timedelta]:
    """Return how long each topic keeps its records: as the broker says, else as declared."""
    topics = declared(contracts, settings.topics, settings.partitions, joins=True)
    on_broker = broker_topics(kafka.admin(settings), topics)
    kept = {}
    for topic in topics:
        millis = int(on_broker[topic.name].config.get("retention.ms", -1)) if topic.name in on_broker else -1
        if millis >= 0:
            kept[topic.name] = timedelta(milliseconds=millis)
    return kept
