"""The sink's store in memory: `connectors/postgres/queries/store_batch.sql`, part by part under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from connectors.dead_letter_store import DeadLetterRow
from connectors.memory.database import MemoryStore, StoredKey, earliest
from connectors.memory.dead_letter_store import add_dead_letters
from connectors.memory.erasures import without_erased_contents, without_erased_fields
from connectors.memory.progress_callbacks import PROGRESS_WAIT, add_progress, end_progress, move_run
from connectors.memory.replay_tables import is_replayed
from connectors.memory.sink_leases import store_leases
from connectors.memory.storable import check_storable, storable_text
from connectors.memory.tables import (
    OPEN,
    StoredDelivery,
    StoredHistory,
    StoredJob,
    StoredOffset,
    StoredOutcome,
    StoredRun,
)
from connectors.sink_store import (
    ClaimedOffsets,
    Fenced,
    HistoryRow,
    LeaseRow,
    LogPosition,
    OffsetRow,
    ProgressEnd,
    ProgressRow,
    RunRow,
    Stored,
)

_OTHER_INPUT = b'{"reason": "another input under the same job id"}'

Known = dict[bytes, StoredJob]


class MemorySinkStore(MemoryStore):
    """Implements `connectors.sink_store.SinkStore`."""

    def learn_topics(self, names: Mapping[bytes, str]) -> None:
        with self._db.writing():
            for topic_id, name in names.items():
                self._db.topics.setdefault(topic_id, name)

    def claim(self, group: str, begins: Mapping[tuple[bytes, int], int]) -> dict[tuple[bytes, int], ClaimedOffsets]:
        with self._db.writing():
            claimed = {}
            for key, begin in begins.items():
                row = self._db.offsets.setdefault((group, *key), StoredOffset(begin, begin, 0))
                row.epoch += 1
                claimed[key] = ClaimedOffsets(row.next_offset, row.published, row.epoch)
            return claimed

    def store(
        self,
        runs: Sequence[RunRow],
        history: Sequence[HistoryRow],
        offsets: Sequence[OffsetRow],
        leases: Sequence[LeaseRow] = (),
        dead_letters: Sequence[DeadLetterRow] = (),
    ) -> Stored:
        with self._db.writing() as now:
            self._check_fence(offsets)
            check_storable(runs)
            runs = [storable_text(row) for row in runs]
            known = self._known(runs)
            runs, history = without_erased_contents(self._db, runs, history)
            won = {(row.job_id, row.run) for row in runs if row.job_id in known and self._wins(row, now)}
            moved = {(row.job_id, row.run) for row in runs if row.job_id in known and self._moves(row, won, now)}
            deferred = self._add_callbacks((row for row in runs if (row.job_id, row.run) in won), known, now)
            self._add_events(history, known, won, moved)
            for row in offsets:
                found = self._db.offsets[row.group_id, row.topic_id, row.partition]
                found.next_offset, found.published = row.next_offset, row.published
            store_leases(self._db, leases, now)
            add_dead_letters(self._db, dead_letters)
            ends = ((row.job_id, row.run) for row in runs if row.status is not None)
            return Stored(frozenset(end for end in ends if end not in won), now, frozenset(deferred))

    def executions(self, runs: Iterable[StoredKey]) -> dict[StoredKey, tuple[int, int]]:
        with self._db.reading():
            leases = self._db.leases
            return {key: (leases[key].attempt, leases[key].execution) for key in runs if key in leases}

    def winners(self, candidates: Mapping[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
        with self._db.reading():
            outcomes = self._db.outcomes
            return {
                position
                for position, run in candidates.items()
                if run in outcomes and outcomes[run].position == position
            }

    def mark_progress(self, rows: Sequence[ProgressRow]) -> set[tuple[bytes, int]]:
        with self._db.writing() as now:
            known = [row for row in rows if (row.job_id, row.run) in self._db.runs]
            for row in known:
                if move_run(self._db.runs[row.job_id, row.run], row, now):
                    add_progress(self._db, row, now)
            return {(row.job_id, row.run) for row in known}

    def end_progress(self, ends: Sequence[ProgressEnd]) -> set[bytes]:
        with self._db.writing() as now:
            return {end.outcome_id for end in ends if end_progress(self._db, end, now)}

    # ── the parts of a batch ──

    def _check_fence(self, offsets: Iterable[OffsetRow]) -> None:
        for row in offsets:
            found = self._db.offsets.get((row.group_id, row.topic_id, row.partition))
            if found is None or (found.epoch, found.next_offset) != (row.epoch, row.expected):
                raise Fenced("Another sink owns a partition of this batch; nothing was stored.")

    def _known(self, runs: Sequence[RunRow]) -> Known:
        """Return the jobs whose rows have the input of the job's first request."""
        known: Known = {}
        for row in runs:
            if not row.carries_job:
                continue
            job = self._db.jobs.get(row.job_id)
            if job is None:
                job = self._db.jobs[row.job_id] = without_erased_fields(self._db, _job(row))
            elif job.input_sha256 in (row.input_sha256, "") or row.input_sha256 == "" or self._edited(row.job_id, runs):
                job.current_run = max(job.current_run, row.current_run)
            else:
                continue
            known[row.job_id] = job
        return known

    def _edited(self, job_id: bytes, runs: Iterable[RunRow]) -> bool:
        """True if replays have made all of the job's runs in this batch: they may have edited its input."""
        own = [row for row in runs if row.job_id == job_id]
        return all(is_replayed(self._db.replays, job_id, row.run, row.replay_id) for row in own)

    def _wins(self, row: RunRow, now: datetime) -> bool:
        key = (row.job_id, row.run)
        if row.status is None or key in self._db.outcomes:
            return False
        self._db.outcomes[key] = StoredOutcome.of(row, now)
        return True

    def _moves(self, row: RunRow, won: set[StoredKey], now: datetime) -> bool:
        key = (row.job_id, row.run)
        if row.status is not None and key not in won:
            return False
        new, was = _run(row, now), self._db.runs.get(key)
        if was is None:
            self._db.runs[key] = new
            return True
        if was.state not in OPEN or (new.state in ("PENDING", "RETRYING") and new.rank <= was.rank):
            return False
        was.state, was.attempt, was.execution, was.sequence = new.state, new.attempt, new.execution, new.sequence
        was.owner, was.due_at, was.due_kind, was.updated_at = new.owner, new.due_at, new.due_kind, now
        was.position = was.position or new.position
        return True

    def _add_callbacks(self, winners: Iterable[RunRow], known: Known, now: datetime) -> list[StoredKey]:
        """Return the runs whose delivery waits for `end_progress`."""
        deferred = []
        for row in winners:
            job, bare = known[row.job_id], row.input_sha256 == ""
            destination = row.callback_url or (job.callback_url if bare else None)
            if row.delivery_id is None or destination is None or row.delivery_id in self._db.deliveries:
                continue
            self._db.deliveries[row.delivery_id] = StoredDelivery(
                row.delivery_id,
                row.job_id,
                row.run,
                "outcome",
                0,
                destination,
                "pending",
                0,
                now + PROGRESS_WAIT if job.callback_progress else now,
                None if job.callback_progress else row.notifier,
                row.tenant,
                len(row.output or b"") + len(row.refs or b""),
                job.callback_profile if bare else row.callback_profile,
                created_at=now,
            )
            if job.callback_progress:
                deferred.append((row.job_id, row.run))
        return deferred

    def _add_events(
        self, history: Iterable[HistoryRow], known: Known, won: set[StoredKey], moved: set[StoredKey]
    ) -> None:
        for row in history:
            run, position = (row.job_id, row.run), LogPosition(row.topic_id, row.partition, row.offset)
            unknown = row.role != 3 and row.job_id not in known
            late = (row.role == 1 and run not in moved) or (row.role == 2 and run not in won)
            kind = "superseded" if unknown or late else row.kind
            body = _OTHER_INPUT if unknown else row.body
            event = StoredHistory(row.job_id, position, row.run, row.attempt, kind, row.at, body)
            self._db.history.setdefault((row.job_id, position), event)


def _job(row: RunRow) -> StoredJob:
    return StoredJob(
        row.job_id,
        row.created_at,
        row.current_run,
        row.tenant,
        row.processor,
        row.input_sha256,
        row.external_id,
        row.case_id,
        row.upload_id,
        row.batch_id,
        row.parent_job_id,
        row.callback_url,
        row.callback_profile,
        row.callback_progress,
        row.labels,
    )


def _run(row: RunRow, now: datetime) -> StoredRun:
    due_at, due_kind = _due(row, now)
    position = None if row.topic_id is None else LogPosition(row.topic_id, row.partition or 0, row.offset or 0)
    return StoredRun(
        row.job_id,
        row.run,
        row.mode,
        row.lane,
        str(row.state),
        row.attempt,
        row.execution,
        row.sequence,
        row.owner,
        due_at,
        due_kind,
        row.deadline,
        position,
        row.created_at,
        now,
    )


def _due(row: RunRow, now: datetime) -> tuple[datetime | None, str | None]:
    """Return the one time that a run waits for (the earlier of its own and its deadline) and the kind of wait."""
    if row.state == "RETRYING":
        at = None if row.due_in_ms is None else now + timedelta(milliseconds=row.due_in_ms)
        sooner = row.deadline is not None and at is not None and row.deadline < at
        return earliest(at, row.deadline), "deadline" if sooner else "retry"
    if row.state != "PENDING":
        return None, None
    if row.not_before is not None and (row.deadline is None or row.not_before < row.deadline):
        return row.not_before, "not_before"
    return row.deadline, None if row.deadline is None else "deadline"
