"""Collects stored files that no row and no record in the log refers to (docs/adr/0025).

A file goes in two steps, each after a grace period: first to the trash, where a reader still finds it, then for good. So a
reference that came late, or that this run could not see, has another grace period to be seen in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.claim_store import UPLOADED, ClaimStore, StoredObject
from connectors.memos import MEMOS, tenant_part
from connectors.retention_store import RetentionStore
from streams.retention.log_scan import kept_records, our_topics
from streams.settings import Settings

#: Folder of the pieces of unfinished uploads, among the named objects.
PIECES = "uploads"


@dataclass(frozen=True, slots=True)
class Collected:
    """Numbers of files. `kept`: referred to. `young`: below the grace period. `trashed`: now in the trash, with their bytes.
    `waiting`: in the trash for less than the grace period. `deleted`: gone for good, with their bytes. `restored`: taken out
    of the trash. `leftovers`: pieces of uploads that never ended,
    and notes of lab machines' files. `memos`: outputs that are not to be reused any more. `dry_run`: nothing was changed."""

    kept: int
    young: int
    trashed: int
    trashed_bytes: int
    waiting: int
    deleted: int
    deleted_bytes: int
    restored: int
    leftovers: int
    memos: int
    dry_run: bool


def collect(settings: Settings, objects: ClaimStore, rows: RetentionStore, *, dry_run: bool = False) -> Collected:
    """Collect once. Running twice at the same time does no harm. Raises Unreachable, StoreUnavailable: then try again."""
    grace = timedelta(hours=settings.objects_grace_h)
    before = datetime.now(UTC) - grace
    # Files first, references after: one that appears in between is seen.
    stored = list(objects.contents())
    old = [each for each in stored if each.modified < before]
    retired = list(objects.retired())
    unreferenced = _unreferenced(settings, rows, {each.sha256 for each in (*old, *retired)})

    trashed = [each for each in old if each.sha256 in unreferenced]
    restored = [each for each in retired if each.sha256 not in unreferenced]
    waiting = [each for each in retired if each.sha256 in unreferenced and each.modified >= before]
    deleted = [each for each in retired if each.sha256 in unreferenced and each.modified < before]
    if not dry_run:
        for each in restored:
            objects.restore(each)
        trashed = [each for each in trashed if objects.retire(each)]
        for each in deleted:
            objects.delete(each.sha256, retired_only=True)
    leftovers = objects.delete_leftovers(grace.total_seconds(), dry_run=dry_run)
    leftovers += _pieces(objects, rows, before, dry_run) + _notes(objects, before, dry_run)
    return Collected(
        kept=len(old) - len(trashed),
        young=len(stored) - len(old),
        trashed=len(trashed),
        trashed_bytes=_bytes(trashed),
        waiting=len(waiting),
        deleted=len(deleted),
        deleted_bytes=_bytes(deleted),
        restored=len(restored),
        leftovers=leftovers,
        memos=_memos(settings, objects, rows, before, dry_run),
        dry_run=dry_run,
    )


def _unreferenced(settings: Settings, rows: RetentionStore, contents: set[str]) -> set[str]:
    """Return those of these contents that nothing refers to. The log is read only if the rows leave any."""
    left = contents - rows.references() if contents else contents
    if left:
        for record in kept_records(settings, our_topics(settings)):
            left -= record.contents
    return left


def _pieces(objects: ClaimStore, rows: RetentionStore, before: datetime, dry_run: bool) -> int:
    """Delete pieces of uploads that have ended or expired; return how many there were."""
    old = [name for name, modified in objects.named(PIECES) if modified < before]
    alive = rows.unfinished({name.split("/")[1] for name in old})
    gone = [name for name in old if name.split("/")[1] not in alive]
    for name in gone:
        if not dry_run:
            objects.delete_named(name)
    return len(gone)


def _notes(objects: ClaimStore, before: datetime, dry_run: bool) -> int:
    """Delete notes of files for which no result came in time; the files themselves go as well. Return their number."""
    old = [name for name, modified in objects.named(UPLOADED) if modified < before]
    for name in old:
        if not dry_run:
            objects.delete_named(name)
    return len(old)


def _memos(settings: Settings, objects: ClaimStore, rows: RetentionStore, before: datetime, dry_run: bool) -> int:
    """Delete memos that are too old to be used, and those whose input no job of their tenant has any more; return their number.

    A young one may belong to a job that is not stored yet.
    """
    oldest = datetime.now(UTC) - timedelta(days=settings.memo_days)
    aged = [(name, name.split("/"), at) for name, at in objects.named(MEMOS) if at < before]
    wanted = {input_ for _, (_, _, input_, _), _ in aged}
    known = {(tenant_part(tenant), input_) for tenant, input_ in rows.known_inputs(wanted)}
    gone = [name for name, (_, tenant, input_, _), at in aged if at < oldest or (tenant, input_) not in known]
    for name in gone:
        if not dry_run:
            objects.delete_named(name)
    return len(gone)


def _bytes(files: list[StoredObject]) -> int:
    return sum(each.size for each in files)
