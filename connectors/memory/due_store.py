"""Due work in memory: the statements `due_runs`, `mark_done`, `open_cancels`, `unsent` and `prune`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from connectors.command_store import CommandRow
from connectors.due_store import DoneRow, DueRun, KeptRecords
from connectors.memory.batch_store import end_batches
from connectors.memory.database import MemoryStore, StoredKey
from connectors.memory.dead_letter_store import prune_dead_letters
from connectors.memory.payload_store import stored_payload
from connectors.memory.replay_tables import prune_replays
from connectors.memory.tables import StoredCancel, StoredRun
from connectors.memory.upload_store import MemoryUploadStore
from connectors.payload_store import Payload
from connectors.sink_store import LogPosition
from connectors.views import OverdueView
from schemas.errors import Unreachable
from schemas.records import Upload

#: As on Postgres: a leader that makes no call for this long loses leadership to the next one that asks.
_SILENCE = timedelta(seconds=6)
_MINUTE = timedelta(minutes=1)
#: As long as Kafka keeps the commands.
_COMMANDS_KEPT = timedelta(days=15)


#: States of a run that a worker has, or is to get from the log.
_BEFORE_OR_IN_A_WORKER = ("PENDING", "PROCESSING")


class MemoryDueStore(MemoryStore):
    """Implements `connectors.due_store.DueStore`."""

    _leads = False

    def lead(self) -> bool:
        with self._db.reading() as now:
            leader = self._db.leader
            if leader is None or leader[0] is self or leader[1] < now - _SILENCE:
                self._db.leader = (self, now)
            self._leads = self._db.leader is not None and self._db.leader[0] is self
            return self._leads

    def keep_leading(self) -> None:
        with self._db.reading() as now:
            self._check_leader(now)

    def due(self, limit: int) -> list[DueRun]:
        with self._db.reading() as now:
            self._check_leader(now)
            waiting = sorted(
                ((run.due_at, run) for run in self._db.runs.values() if run.due_at is not None and run.due_at <= now),
                key=lambda pair: pair[0],
            )
            known = [run for _, run in waiting if run.job_id in self._db.jobs]
            return [self._due(run, run.due_kind or "") for run in self._by_turns(known)[:limit]]

    def mark_done(self, rows: Sequence[DoneRow]) -> None:
        with self._db.writing() as now:
            self._check_leader(now)
            for row in rows:
                run = self._db.runs.get((row.job_id, row.run))
                if run is not None and (run.attempt, run.due_kind) == (row.attempt, row.kind):
                    _done(run, row, now)

    def open_cancels(self, grace: timedelta, limit: int) -> list[DueRun]:
        with self._db.reading() as now:
            self._check_leader(now)
            waiting = [row for row in self._db.cancels.values() if row.ended_at is None and row.due_at <= now]
            waiting.sort(key=lambda row: row.due_at)
            found = [self._cancel(row, grace, now) for row in waiting[:limit]]
            return [due for due in found if due is not None]

    def requests_gone(self, kept: Sequence[KeptRecords], limit: int) -> list[DueRun]:
        begins = {(row.topic_id, row.partition): row.begin for row in kept}

        def is_kept(position: LogPosition) -> bool:
            begin = begins.get((position.topic_id, position.partition))
            return begin is not None and position.offset >= begin

        with self._db.reading() as now:
            self._check_leader(now)
            # Also requests that were published again for a retry or release.
            readable = {
                (row.job_id, row.run)
                for row in self._db.history.values()
                if row.kind == "request" and is_kept(row.position)
            }
            found = [
                run
                for key, run in self._db.runs.items()
                if run.state in _BEFORE_OR_IN_A_WORKER
                and run.position is not None
                and not is_kept(run.position)
                and run.updated_at < now - _MINUTE
                and key not in readable
                and key not in self._db.leases
            ]
            return [self._due(run, "gone") for run in found[:limit] if run.job_id in self._db.jobs]

    def silent(self, older_than: timedelta, limit: int) -> list[DueRun]:
        with self._db.reading() as now:
            self._check_leader(now)
            found = [
                run
                for run in self._db.runs.values()
                if run.state in _BEFORE_OR_IN_A_WORKER
                and (run.due_at is None or (run.due_kind == "not_before" and run.due_at > now + timedelta(hours=1)))
                and run.updated_at < now - older_than
                and not now - older_than <= run.requested_at <= now + timedelta(hours=1)
            ]
            return [self._due(run, "silent") for run in found[:limit] if run.job_id in self._db.jobs]

    def unsent(self, limit: int) -> list[Payload]:
        with self._db.reading() as now:
            self._check_leader(now)
            due = [
                (row.check_at, key) for key, row in self._db.payloads.items() if row.check_at and row.check_at <= now
            ]
            found = [self._unsent(key, now) for _, key in sorted(due)[:limit]]
            return [payload for payload in found if payload is not None]

    def unsent_uploads(self, limit: int) -> list[Upload]:
        with self._db.reading() as now:
            self._check_leader(now)
            due = [row for row in self._db.uploads.values() if row.check_at is not None and row.check_at <= now][:limit]
            for row in due:
                age = now - row.upload.created_at
                row.check_at = now + min(max(age, timedelta(seconds=5)), timedelta(minutes=10))
            return [row.upload for row in due]

    def mark_uploads_published(self, upload_ids: Sequence[str]) -> None:
        MemoryUploadStore(self._db).mark_published(upload_ids)

    def expired_uploads(self, limit: int) -> list[tuple[str, list[str]]]:
        with self._db.reading() as now:
            self._check_leader(now)
            partial = self._db.partial_uploads
            gone = [one for one, row in partial.items() if row.expires_at is None or row.expires_at <= now][:limit]
            for one in gone:
                del partial[one]
            return [(one, [part.name for part in self._db.upload_parts.pop(one, ())]) for one in gone]

    def prune(self, older_than: timedelta, limit: int) -> int:
        with self._db.writing() as now:
            self._check_leader(now)
            pending = {(row.job_id, row.run) for row in self._db.deliveries.values() if row.state == "pending"}
            old = {key for key, row in self._db.outcomes.items() if row.decided_at < now - older_than} - pending
            pruned = set(sorted(old)[:limit])
            self._delete(pruned)
            batches = self._db.batches.values()
            ended = [row.batch_id for row in batches if row.ended_at and row.ended_at < now - older_than]
            for batch_id in ended:
                delivery = self._db.deliveries.get(UUID(batch_id).bytes)
                if delivery is None or delivery.state != "pending":
                    del self._db.batches[batch_id]
                    self._db.deliveries.pop(UUID(batch_id).bytes, None)
            prune_dead_letters(self._db, now, older_than)
            prune_replays(self._db, now - older_than)
            return len(pruned)

    def end_batches(self, limit: int) -> tuple[int, int]:
        with self._db.reading() as now:
            self._check_leader(now)
            looked_at, ended = end_batches(self._db, limit, now)
            self._db.changes += ended
            return looked_at, ended

    def last_commands(self) -> list[CommandRow]:
        with self._db.reading() as now:
            self._check_leader(now)
            return [CommandRow(*row) for _, row in sorted(self._db.commands.items())]

    def overdue(self, older_than: timedelta) -> list[OverdueView]:
        with self._db.reading() as now:
            waits: dict[str, list[float]] = {}
            for run in self._db.runs.values():
                if run.due_at is not None and run.due_at < now - older_than:
                    waits.setdefault(run.due_kind or "", []).append((now - run.due_at).total_seconds())
            return [OverdueView(kind, len(each), max(each)) for kind, each in sorted(waits.items())]

    def close(self) -> None:
        """Release leadership."""
        with self._db.reading():
            if self._db.leader is not None and self._db.leader[0] is self:
                self._db.leader = None
            self._leads = False

    # ── leading ──

    def _check_leader(self, now: datetime) -> None:
        """Record a call of the leader. Raises Unreachable if another timekeeper has taken over."""
        if not self._leads:
            return
        if self._db.leader is None or self._db.leader[0] is not self:
            self._leads = False
            raise Unreachable("Leadership was lost: another timekeeper has taken over.")
        self._db.leader = (self, now)

    # ── due work ──

    def _by_turns(self, runs: Sequence[StoredRun]) -> list[StoredRun]:
        """Sort the oldest run of each tenant first, then the second oldest of each, and so on."""
        seen: Counter[str] = Counter()
        turns = []
        for run in runs:
            tenant = self._db.jobs[run.job_id].tenant
            turns.append((seen[tenant], run))
            seen[tenant] += 1
        return [run for _, run in sorted(turns, key=lambda pair: pair[0])]

    def _due(self, run: StoredRun, kind: str, reason: str = "") -> DueRun:
        position = run.position
        return DueRun(
            job_id=str(UUID(bytes=run.job_id)),
            run=run.run,
            attempt=run.attempt,
            kind=kind,
            processor=self._db.jobs[run.job_id].processor,
            created_at=run.requested_at,
            topic=None if position is None else self._db.topics.get(position.topic_id),
            topic_id=None if position is None else position.topic_id,
            partition=None if position is None else position.partition,
            offset=None if position is None else position.offset,
            reason=reason,
            mode=run.mode,
        )

    def _cancel(self, cancel: StoredCancel, grace: timedelta, now: datetime) -> DueRun | None:
        key = (cancel.job_id, cancel.run)
        run, outcome = self._db.runs.get(key), self._db.outcomes.get(key)
        if run is None:
            age = now - cancel.read_at
            if age > _COMMANDS_KEPT:
                del self._db.cancels[key]
            cancel.due_at = now + min(max(age / 4, timedelta(seconds=0.1)), timedelta(hours=1))
            cancel.ended_at = None if outcome is None else outcome.decided_at
            return None
        if outcome is not None:
            cancel.ended_at = outcome.decided_at
            return None
        if run.state == "PROCESSING" and cancel.read_at + grace > now:
            cancel.due_at = cancel.read_at + grace
            return None
        cancel.due_at = now + timedelta(seconds=10)
        return self._due(run, "cancel", cancel.reason) if run.job_id in self._db.jobs else None

    def _unsent(self, key: StoredKey, now: datetime) -> Payload | None:
        row, run = self._db.payloads[key], self._db.runs.get(key)
        if key in self._db.outcomes:
            del self._db.payloads[key]
            return None
        if run is not None:
            row.check_at = now + _MINUTE
            return None
        row.check_at = now + min(max(now - row.accepted_at, timedelta(seconds=5)), timedelta(minutes=10))
        return stored_payload(row)

    def _delete(self, runs: set[StoredKey]) -> None:
        db = self._db
        for key in runs:
            del db.outcomes[key]
            for table in (db.runs, db.cancels, db.payloads, db.leases):
                table.pop(key, None)
        db.history = {key: row for key, row in db.history.items() if (row.job_id, row.run) not in runs}
        db.deliveries = {key: row for key, row in db.deliveries.items() if (row.job_id, row.run) not in runs}
        left = {job_id for job_id, _ in db.runs}
        for job_id in {job_id for job_id, _ in runs} - left:
            db.jobs.pop(job_id, None)


def _done(run: StoredRun, row: DoneRow, now: datetime) -> None:
    retried = row.done and row.kind == "retry"
    if retried or (row.done and row.kind == "not_before"):
        run.state, run.due_at = "PENDING", run.deadline
        run.due_kind = None if run.deadline is None else "deadline"
    else:
        run.due_at = now + _MINUTE
    if retried:
        run.attempt, run.execution, run.sequence = run.attempt + 1, 0, 0
    run.updated_at = now
