"""Replays on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from connectors.payload_store import Payload
from connectors.postgres.base import PostgresStore
from connectors.postgres.payload_store import read_payload
from connectors.postgres.statement import query
from connectors.replay_store import (
    ACTIONS,
    ERASED,
    JOB_FIELDS,
    LAST_RUN,
    NO_RUN_LEFT,
    OPEN_REPLAY,
    OPEN_RUN,
    PARKED,
    TOO_OFTEN,
    Chosen,
    JobFields,
    MarkedRow,
    NewReplay,
    Replay,
    ReplayFilter,
    ReplayGroup,
    ReplayJob,
    ReplayWork,
    distinct_sources,
)
from schemas.ids import is_job_id

#: Any fixed number. Replays are frozen one after another, because the number of a job's next run depends on the others.
_FREEZE_LOCK = 0x71C6

# In turns by partition, and within a partition as in the log: an ordered key keeps its order, and all workers have something.
_BY_FILTER = """
    SELECT
        row_number() OVER (PARTITION BY r.topic_id, r.partition ORDER BY r."offset", r.job_id) AS turn, 'request' AS source,
        j.job_id, r.run AS from_run, r.topic_id, r.partition, r."offset"
    FROM jobs AS j
    JOIN runs AS r ON r.job_id = j.job_id AND r.run = j.current_run
    LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
    WHERE {wanted}
    ORDER BY turn, r.partition, j.job_id
"""
_BY_LIST = """
    SELECT c.turn, c.source, c.job_id, c.from_run, c.topic_id, c.partition, c."offset"
    FROM unnest(
        %(sources)s::text[], %(job_ids)s::uuid[], %(runs)s::integer[], %(topics)s::uuid[], %(partitions)s::integer[],
        %(offsets)s::bigint[]
    ) WITH ORDINALITY AS c(source, job_id, from_run, topic_id, partition, "offset", turn)
    WHERE %(tenant)s::text IS NULL OR EXISTS (SELECT FROM jobs AS j WHERE j.job_id = c.job_id AND j.tenant = %(tenant)s)
    ORDER BY c.turn
"""
_WANTED = {
    "processor": "j.processor = %(processor)s",
    "states": "r.state = ANY (%(states)s::text[])",
    "error_code": "o.error_code = %(error_code)s",
    "fingerprint": "o.fingerprint = %(fingerprint)s",
    "model_version": "o.model_version = %(model_version)s",
    "case_id": "j.case_id = %(case_id)s",
    "batch_id": "j.batch_id = %(batch_id)s",
    "since": "o.decided_at >= %(since)s",
    "until": "o.decided_at < %(until)s",
    "job_ids": "j.job_id = ANY (%(job_ids)s::uuid[])",
}


class PostgresReplayStore(PostgresStore):
    """Implements `connectors.replay_store.ReplayStore`."""

    application = "sluice replay"
    # Plans are made for each statement: these tables go from empty to full.
    session = "SET plan_cache_mode = force_custom_plan"

    # ── for operators ──

    def preview(self, new: NewReplay, chosen: Chosen) -> list[ReplayGroup]:
        return [ReplayGroup(**row) for row in self._freezing("preview_replay", new, chosen)]

    def sample(self, new: NewReplay, chosen: Chosen, limit: int) -> list[ReplayJob]:
        return [_job(row) for row in self._freezing("sample_replay", new, chosen, sample=limit)]

    def start(self, new: NewReplay, chosen: Chosen) -> Replay:
        with self._connected("starting a replay") as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_FREEZE_LOCK,))
            self._freezing("start_replay", new, chosen)
        started = self.replay(new.replay_id)
        assert started is not None
        return started

    def replay(self, replay_id: str, tenant: str | None = None) -> Replay | None:
        if not is_job_id(replay_id):
            return None
        own = "true" if tenant is None else "s.tenant = %(tenant)s"
        wanted = {"wanted": f"s.replay_id = %(replay_id)s AND {own}"}
        found = self._rows("find_replays", wanted, replay_id=UUID(replay_id), tenant=tenant, limit=1)
        return Replay(**found[0]) if found else None

    def replays(self, limit: int, after: tuple[datetime, str] | None = None, tenant: str | None = None) -> list[Replay]:
        conditions = ["true"] if tenant is None else ["s.tenant = %(tenant)s"]
        if after is not None:
            conditions.append("(s.created_at, s.replay_id) < (%(at)s, %(after_id)s)")
        at, after_id = after or (None, None)
        wanted = {"wanted": " AND ".join(conditions)}
        rows = self._rows("find_replays", wanted, limit=limit, tenant=tenant, at=at, after_id=after_id)
        return [Replay(**row) for row in rows]

    def rows(self, replay_id: str, state: str | None, limit: int, after: int = 0) -> list[ReplayJob]:
        wanted = {"wanted": "p.n > %(after)s AND " + ("true" if state is None else "p.state = %(state)s")}
        values = {"replay_id": UUID(replay_id), "state": state, "after": after, "limit": limit}
        return [_job(row) for row in self._rows("replay_rows", wanted, **values)]

    def outcomes(self, replay_id: str) -> dict[str, int]:
        return {row["state"]: row["jobs"] for row in self._rows("replay_outcomes", replay_id=UUID(replay_id))}

    def act(self, replay_id: str, action: str) -> Replay | None:
        before, after = ACTIONS[action]
        changed = self._rows("act_on_replay", replay_id=UUID(replay_id), before=list(before), after=after)
        return self.replay(replay_id) if changed else None

    # ── for the timekeeper ──

    def due(self, limit: int) -> list[ReplayWork]:
        running = self._rows("running_replays")
        found = []
        wanted = {"wanted": "p.state = 'waiting' AND (p.due_at IS NULL OR p.due_at <= now())"}
        for row in running:
            share, allowed, at = max(1, limit // len(running)), row.pop("allowed"), row.pop("at")
            most = share if allowed is None else min(share, allowed)
            rows = self._rows("replay_rows", wanted, replay_id=UUID(row["replay_id"]), limit=most)
            replay_id = UUID(row["replay_id"]).bytes
            self.mark([MarkedRow(replay_id, one["n"], PARKED, ERASED) for one in rows if one["erased"]])
            if jobs := [_job(one) for one in rows if not one["erased"]]:
                found.append(ReplayWork(Replay(**row), jobs, at))
        return found

    def mark(self, rows: Sequence[MarkedRow]) -> None:
        if rows:
            ids, numbers, states, reasons = (list(column) for column in zip(*rows, strict=True))
            uuids = [UUID(bytes=one) for one in ids]
            self._rows("mark_replayed", replay_ids=uuids, numbers=numbers, states=states, reasons=reasons)

    def payload(self, job_id: str, run: int) -> Payload | None:
        rows = self._rows("payload", job_id=UUID(job_id), run=run)
        return read_payload(rows[0]) if rows else None

    # ── selections ──

    def _freezing(self, name: str, new: NewReplay, chosen: Chosen, **more: Any) -> list[dict[str, Any]]:
        """Run a statement on the rows of a selection."""
        text, values = _by_filter(chosen) if isinstance(chosen, ReplayFilter) else _by_list(chosen)
        candidates = query("replay_candidates").decode().replace("{chosen}", text)
        edit = None if new.edit is None else Jsonb(new.edit)
        deadline = None if new.deadline_s is None else timedelta(seconds=new.deadline_s)
        own = {name: getattr(new, name) for name in _OWN}
        reasons: dict[str, Any] = {"erased": ERASED, "open_run": OPEN_RUN, "open_replay": OPEN_REPLAY}
        reasons |= {"too_often": TOO_OFTEN, "no_run_left": NO_RUN_LEFT, "last_run": LAST_RUN}
        columns = {
            "replay_id": UUID(new.replay_id),
            "selection": Jsonb(new.selection),
            "edit": edit,
            "deadline": deadline,
        }
        return self._rows(name, {"candidates": candidates}, **{**values, **own, **reasons, **columns, **more})


_OWN = ("requested_by", "reason", "tenant", "mode", "to_version", "callbacks", "rate", "limit", "at_most")


def _by_filter(wanted: ReplayFilter) -> tuple[str, dict[str, Any]]:
    values = {name: value for name in _WANTED if (value := getattr(wanted, name)) is not None}
    conditions = ["(%(tenant)s::text IS NULL OR j.tenant = %(tenant)s)", *(_WANTED[name] for name in values)]
    if "states" in values:
        values["states"] = list(values["states"])
    if "job_ids" in values:
        values["job_ids"] = [UUID(one) for one in values["job_ids"] if is_job_id(one)]
    else:
        conditions.append("o.job_id IS NOT NULL")
    return _BY_FILTER.replace("{wanted}", " AND ".join(conditions)), values


def _by_list(chosen: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    rows = distinct_sources(chosen)
    return _BY_LIST, {
        "sources": [row.source for row in rows],
        "job_ids": [None if row.job_id is None else UUID(row.job_id) for row in rows],
        "runs": [row.from_run for row in rows],
        "topics": [UUID(bytes=row.position.topic_id) for row in rows],
        "partitions": [row.position.partition for row in rows],
        "offsets": [row.position.offset for row in rows],
    }


def _job(row: dict[str, Any]) -> ReplayJob:
    row.pop("erased", None)
    stored = {name: row.pop(name, None) for name in JOB_FIELDS}
    topic_id = row["topic_id"].bytes if row["topic_id"] else None
    return ReplayJob(
        **{**row, "topic_id": topic_id, "stored": None if stored["tenant"] is None else JobFields(**stored)}
    )
