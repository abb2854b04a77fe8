"""Cases of a shadow run on Postgres."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from connectors.postgres.base import PostgresStore
from connectors.shadow_store import RunEnding, ShadowPair


class PostgresShadowStore(PostgresStore):
    """Implements `connectors.shadow_store.ShadowStore`."""

    application = "sluice shadow"

    def pairs(self, replay_id: str, after: int, limit: int) -> list[ShadowPair]:
        rows = self._rows("shadow_pairs", replay_id=UUID(replay_id), after=after, limit=limit)
        return [_pair(row) for row in rows]


def _pair(row: dict[str, Any]) -> ShadowPair:
    return ShadowPair(
        row["n"],
        row["job_id"],
        row["processor"],
        row["case_id"],
        row["from_run"],
        row["run"],
        row["state"],
        row["reason"],
        _ending(row, "before", row["from_run"]),
        _ending(row, "after", row["run"]),
    )


def _ending(row: dict[str, Any], side: str, run: int) -> RunEnding | None:
    if row[f"{side}_state"] is None:
        return None
    return RunEnding(
        run,
        row[f"{side}_state"],
        row[f"{side}_error"],
        row[f"{side}_version"],
        row[f"{side}_device"],
        row[f"{side}_ms"],
        row[f"{side}_output"],
        row[f"{side}_refs"] or (),
    )
