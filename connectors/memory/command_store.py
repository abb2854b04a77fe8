"""Commands and their acknowledgements in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow
from connectors.memory.database import MemoryStore
from connectors.memory.tables import OPEN, StoredCancel, StoredJob, StoredRun
from connectors.views import AcknowledgementView, ProcessorView, RunState


class MemoryCommandStore(MemoryStore):
    """Implements `connectors.command_store.CommandStore`."""

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
            return self._run_states([job for job in jobs if job is not None], run)

    def open_jobs(self, batch_id: str) -> list[RunState]:
        with self._db.reading():
            found = self._run_states([job for job in self._db.jobs.values() if job.batch_id == batch_id], None)
            return [run for run in found if run.state in OPEN]

    def processors(self, names: Sequence[str]) -> list[ProcessorView]:
        with self._db.reading():
            return [self._view(name) for name in names]

    def _run_states(self, jobs: Iterable[StoredJob], run: int | None) -> list[RunState]:
        found: list[tuple[StoredJob, StoredRun | None]] = [
            (job, self._db.runs.get((job.job_id, job.current_run if run is None else run))) for job in jobs
        ]
        return [
            RunState(str(UUID(bytes=job.job_id)), stored.run, job.processor, stored.state)
            for job, stored in found
            if stored is not None
        ]

    def _view(self, name: str) -> ProcessorView:
        command = self._db.commands.get(name)
        acknowledged = sorted(
            (row.worker_id, row.action, row.at)
            for row in self._db.acknowledgements.values()
            if command is not None and row.processor == name and row.at >= command.requested_at
        )
        jobs = [job for job in self._db.jobs.values() if job.processor == name]
        states = Counter(run.state for run in self._run_states(jobs, None) if run.state in OPEN)
        return ProcessorView(
            name,
            None if command is None else command.action,
            None if command is None else command.requested_at,
            None if command is None else command.requested_by,
            None if command is None else command.reason,
            [AcknowledgementView(*row) for row in acknowledged],
            dict(states),
        )
