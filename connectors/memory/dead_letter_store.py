"""Dead letters in memory: the statements `store_dead_letters`, `find_dead_letters` and `drop_dead_letters`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from connectors.dead_letter_store import (
    DROPPED,
    OPEN,
    REDRIVEN,
    DeadLetter,
    DeadLetterFilter,
    DeadLetterGroup,
    DeadLetterRow,
    LetterPlace,
)
from connectors.memory.database import MemoryDatabase, MemoryStore
from connectors.memory.replay_tables import StoredReplay
from connectors.memory.tables import StoredDeadLetter
from connectors.replay_store import DEAD_LETTER
from connectors.sink_store import LogPosition


class MemoryDeadLetterStore(MemoryStore):
    """Implements `connectors.dead_letter_store.DeadLetterStore`."""

    def find(
        self, wanted: DeadLetterFilter, limit: int, after: tuple[datetime, LetterPlace] | None = None
    ) -> list[DeadLetter]:
        with self._db.reading():
            found = [view for _, view in _matching(self._db, wanted)]
        found.sort(key=_age, reverse=True)
        return [one for one in found if after is None or _age(one) < after][:limit]

    def groups(self, wanted: DeadLetterFilter) -> list[DeadLetterGroup]:
        groups: dict[str, list[DeadLetter]] = {}
        for one in self.find(wanted, 2**31):
            groups.setdefault(one.fingerprint, []).append(one)
        return sorted(
            (_group(letters) for letters in groups.values()),
            key=lambda group: (-group.letters, -group.last_at.timestamp(), group.fingerprint),
        )

    def drop(self, wanted: DeadLetterFilter, by: str, note: str) -> int:
        with self._db.writing() as now:
            chosen = [row for row, one in _matching(self._db, wanted) if one.state == OPEN]
            for row in chosen:
                row.state, row.changed_at, row.changed_by, row.note = DROPPED, now, by, note
            return len(chosen)


def add_dead_letters(database: MemoryDatabase, rows: Iterable[DeadLetterRow]) -> None:
    """Store dead letters of a batch: a record that is read again changes nothing."""
    for row in rows:
        job = None if row.job_id is None else database.jobs.get(row.job_id)
        erased = job is not None and job.erased_at is not None
        position = LogPosition(row.topic_id, row.partition, row.offset)
        summary = None if erased else row.summary
        database.dead_letters.setdefault(position, StoredDeadLetter(row._replace(summary=""), summary))


def prune_dead_letters(database: MemoryDatabase, now: datetime, older_than: timedelta) -> None:
    for position in [place for place, row in database.dead_letters.items() if row.letter.at < now - older_than]:
        del database.dead_letters[position]


def _matching(database: MemoryDatabase, wanted: DeadLetterFilter) -> Iterator[tuple[StoredDeadLetter, DeadLetter]]:
    """Yield the rows that match, each with its view."""
    for row in database.dead_letters.values():
        one = _view(database, row)
        if (
            (wanted.places is None or one.place in wanted.places)
            and wanted.fingerprint in (None, one.fingerprint)
            and wanted.reason in (None, one.reason)
            and wanted.processor in (None, one.processor)
            and (wanted.states is None or one.state in wanted.states)
            and (wanted.since is None or one.at >= wanted.since)
            and (wanted.until is None or one.at < wanted.until)
            and wanted.job_id in (None, one.job_id)
            and wanted.tenant in (None, one.tenant)
        ):
            yield row, one


def _age(one: DeadLetter) -> tuple[datetime, LetterPlace]:
    return one.at, one.place


def _view(database: MemoryDatabase, row: StoredDeadLetter) -> DeadLetter:
    letter = row.letter
    job = None if letter.job_id is None else database.jobs.get(letter.job_id)
    again = _replay_of(database, letter) if row.state == OPEN else None
    return DeadLetter(
        topic=database.topics.get(letter.topic_id, ""),
        topic_id=str(UUID(bytes=letter.topic_id)),
        partition=letter.partition,
        offset=letter.offset,
        at=letter.at,
        reason=letter.reason,
        fingerprint=letter.fingerprint,
        summary=None if job is not None and job.erased_at is not None else row.summary,
        processor=letter.processor,
        origin_topic=letter.origin_topic,
        origin_partition=letter.origin_partition,
        origin_offset=letter.origin_offset,
        job_id=None if letter.job_id is None else str(UUID(bytes=letter.job_id)),
        run=letter.run,
        job_known=job is not None,
        tenant=None if job is None else job.tenant,
        bytes=letter.bytes,
        attempts=letter.attempts,
        worker=letter.worker,
        state=row.state if again is None else REDRIVEN,
        changed_at=row.changed_at if again is None else again.created_at,
        changed_by=row.changed_by if again is None else again.new.requested_by,
        note=row.note if again is None else again.new.reason,
        replay_id=None if again is None else again.replay_id,
    )


def _replay_of(database: MemoryDatabase, letter: DeadLetterRow) -> StoredReplay | None:
    """Return the newest replay that holds the record, or its job in a later run, and publishes it."""
    position = LogPosition(letter.topic_id, letter.partition, letter.offset)
    found = [
        replay
        for replay in database.replays.values()
        for row in replay.rows
        if replay.new.mode == "replay" and row.stands(replay)
        if (row.source == DEAD_LETTER and row.position == position)
        or (row.job_id is not None and row.job_id == letter.job_id and (row.run or 0) > (letter.run or 0))
    ]
    return max(found, key=lambda replay: replay.created_at, default=None)


def _group(letters: list[DeadLetter]) -> DeadLetterGroup:
    """Return the group of these letters, which come newest first."""
    newest = letters[0]
    return DeadLetterGroup(
        fingerprint=newest.fingerprint,
        reason=min(one.reason for one in letters),
        processor=max(one.processor for one in letters),
        origin_topic=min(one.origin_topic for one in letters),
        letters=len(letters),
        open=sum(one.state == OPEN for one in letters),
        first_at=letters[-1].at,
        last_at=newest.at,
        partition=newest.partition,
        offset=newest.offset,
        summary=next((one.summary for one in letters if one.summary is not None), None),
    )
