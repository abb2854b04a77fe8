"""Cases of a shadow run in memory: `queries/shadow_pairs.sql`."""

from __future__ import annotations

import json
from uuid import UUID

from connectors.memory.database import MemoryStore
from connectors.memory.replay_tables import StoredReplayJob
from connectors.shadow_store import RunEnding, ShadowPair


class MemoryShadowStore(MemoryStore):
    """Implements `connectors.shadow_store.ShadowStore`."""

    def pairs(self, replay_id: str, after: int, limit: int) -> list[ShadowPair]:
        with self._db.reading():
            found = self._db.replays.get(replay_id)
            rows = [] if found is None else [row for row in found.rows if row.n > after and row.job_id is not None]
            return [self._pair(row) for row in rows[:limit]]

    def _pair(self, row: StoredReplayJob) -> ShadowPair:
        job_id = row.job_id or b""
        job = self._db.jobs.get(job_id)
        return ShadowPair(
            row.n,
            str(UUID(bytes=job_id)),
            job.processor if job is not None else "",
            job.case_id if job is not None else None,
            row.from_run or 0,
            row.run,
            row.state,
            row.reason,
            self._ending(job_id, row.from_run),
            self._ending(job_id, row.run),
        )

    def _ending(self, job_id: bytes, run: int | None) -> RunEnding | None:
        found = None if run is None else self._db.outcomes.get((job_id, run))
        if found is None:
            return None
        return RunEnding(
            found.run,
            found.status,
            found.error_code,
            found.model_version,
            found.device,
            found.run_ms,
            None if found.output is None else json.loads(found.output),
            () if found.refs is None else json.loads(found.refs),
        )
