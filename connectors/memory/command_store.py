"""Orders and what became of them, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self
from uuid import UUID

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow
from connectors.memory.database import MemoryDatabase
from connectors.memory.tables import OPEN, StoredCancel, StoredJob, StoredRun
from connectors.views import AcknowledgementView, ProcessorView, RunState


class MemoryCommandStore:
    """See `connectors.command_store.ControlStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._db = database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        cancels: Sequence[CancelRow],
        commands: Sequence[CommandRow],
        acknowledgements: Sequence[AcknowledgementRow],
    ) -> None:
        with self._db.writing() as now:
            for row in cancels:
                self._db.cancels.setdefault((row.job_id, row.run), StoredCancel(*row, read_at=now, due_at=now))
            self._db.commands |= {row.processor: row for row in commands}
            self._db.acknowledgements |= {(row.processor, row.worker_id): row for row in acknowledgements}

    def run_states(self, job_ids: Sequence[str], run: int | None = None) -> list[RunState]:
        with self._db.reading():
            jobs = [self._db.jobs.get(UUID(job_id).bytes) for job_id in job_ids]
            return self._standings([job for job in jobs if job is not None], run)

    def open_jobs(self, batch_id: str) -> list[RunState]:
        with self._db.reading():
            found = self._standings([job for job in self._db.jobs.values() if job.batch_id == batch_id], None)
            return [standing for standing in found if standing.state in OPEN]

    def processors(self, names: Sequence[str]) -> list[ProcessorView]:
        with self._db.reading():
            return [self._view(name) for name in names]

    def close(self) -> None:
        """Nothing to give back."""

    def _standings(self, jobs: Iterable[StoredJob], run: int | None) -> list[RunState]:
        found: list[tuple[StoredJob, StoredRun | None]] = [
            (job, self._db.runs.get((job.job_id, job.current_run if run is None else run))) for job in jobs
        ]
        return [
            RunState(str(UUID(bytes=job.job_id)), one.run, job.processor, one.state)
            for job, one in found
            if one is not None
        ]

    def _view(self, name: str) -> ProcessorView:
        order = self._db.commands.get(name)
        since = [
            row for row in self._db.acknowledgements.values() if order is not None and row.at >= order.requested_at
        ]
        answers = sorted((row.worker_id, row.action, row.at) for row in since if row.processor == name)
        jobs = [job for job in self._db.jobs.values() if job.processor == name]
        states = Counter(one.state for one in self._standings(jobs, None) if one.state in OPEN)
        return ProcessorView(
            name,
            None if order is None else order.action,
            None if order is None else order.requested_at,
            None if order is None else order.requested_by,
            None if order is None else order.reason,
            [AcknowledgementView(*one) for one in answers],
            dict(states),
        )
