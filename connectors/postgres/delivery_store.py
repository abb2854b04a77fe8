"""The notifier's store on Postgres."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from connectors.delivery_store import (
    CLAIM_BYTES,
    HEALTH_KEPT,
    HOLD_S,
    NOT_BUSY,
    PER_QUEUE,
    QUEUES,
    Busy,
    ClaimedDelivery,
    DestinationTries,
    NotedCircuit,
    ProgressTry,
    TryRow,
)
from connectors.postgres.base import PostgresStore
from connectors.postgres.statement import statement
from connectors.sink_store import Unstorable

#: Characters of a tenant's name in `deliveries`.
TENANT = 128
#: Deliveries of each dead notifier that become claimable with one claim.
ORPHANS = 1000
#: No queue is before it.
_FIRST = ("", "")


class PostgresDeliveryStore(PostgresStore):
    """Implements `connectors.delivery_store.DeliveryStore`."""

    application = "sluice notify"
    # As in the sink: every table is reached by a key or a small partial index, whatever plan empty tables would suggest.
    session = """
        SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
        SET plan_cache_mode = force_generic_plan; SET jit = off
    """
    prepared = ("record_tries", "record_progress", "after_progress", "note_destinations", "note_circuits")
    _next_queue = _FIRST

    def renew(self, notifier: bytes, lease_s: float) -> None:
        self._rows("renew_notifier", notifier=UUID(bytes=notifier), lease=timedelta(seconds=lease_s))
        self._rows("delete_dead_notifiers")

    def retire(self, notifier: bytes) -> None:
        self._rows("retire_notifier", notifier=UUID(bytes=notifier))

    def claim(
        self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES, busy: Busy = NOT_BUSY
    ) -> list[ClaimedDelivery]:
        self._rows("release_orphans", limit=ORPHANS)
        full = [tenant[:TENANT] for tenant in busy.tenants]
        queues = [(row["tenant"], row["authority"]) for row in self._next_queues(full) if row["due"]]
        wanted = [queue for queue in queues if queue[0] not in full and queue[1] not in busy.destinations]
        if not wanted:
            return []
        rows = self._rows(
            "claim_deliveries",
            notifier=UUID(bytes=notifier),
            tenants=[tenant for tenant, _ in wanted],
            authorities=[authority for _, authority in wanted],
            per_queue=PER_QUEUE,
            limit=limit,
            max_bytes=max_bytes,
            hold=timedelta(seconds=HOLD_S),
        )
        return self._with_progress([one for row in rows if (one := _claimed(row)) is not None])

    def held(self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES) -> list[ClaimedDelivery]:
        self._rows("release_held_progress", notifier=UUID(bytes=notifier))
        rows = self._rows("held_deliveries", notifier=UUID(bytes=notifier), limit=limit, max_bytes=max_bytes)
        return [one for row in rows if (one := _claimed(row)) is not None]

    def record(self, rows: Sequence[TryRow]) -> None:
        self._record(("record_tries",), rows)

    def record_progress(self, rows: Sequence[ProgressTry]) -> None:
        self._record(("record_progress", "after_progress"), rows)

    def note_destinations(self, tries: Sequence[DestinationTries], circuits: Sequence[NotedCircuit]) -> None:
        with self._connected("noting the health of destinations") as connection:
            try:
                statement("note_destinations").run(connection, t=sorted(tries))
                statement("note_circuits").run(connection, t=sorted(circuits))
            except (struct.error, OverflowError) as error:
                raise Unstorable(f"Postgres can't hold the health of a destination: {type(error).__name__}.") from error
        self._rows("delete_old_health", age=HEALTH_KEPT)

    def _record(self, names: Sequence[str], rows: Sequence[TryRow] | Sequence[ProgressTry]) -> None:
        ordered = sorted(rows, key=itemgetter(0))
        with self._connected("recording deliveries") as connection:
            try:
                for name in names:
                    statement(name).run(connection, t=ordered)
            except (struct.error, OverflowError) as error:
                raise Unstorable(f"Postgres can't hold a try: {type(error).__name__}.") from error

    def _with_progress(self, claimed: list[ClaimedDelivery]) -> list[ClaimedDelivery]:
        """Add the newest progress of the runs to these deliveries."""
        ids = [UUID(bytes=one.delivery_id) for one in claimed if one.kind == "progress"]
        if not ids:
            return claimed
        found = {row.pop("delivery_id").bytes: row for row in self._rows("claimed_progress", ids=ids)}
        return [replace(one, row={**one.row, **found.get(one.delivery_id, {})}) for one in claimed]

    def _next_queues(self, full_tenants: Sequence[str]) -> list[dict[str, Any]]:
        """Return the queues behind those of the last call; after the last queue the first ones again."""
        tenant, authority = self._next_queue
        rows = self._rows("delivery_queues", tenant=tenant, authority=authority, full=full_tenants, limit=QUEUES + 1)
        self._next_queue = (rows[QUEUES]["tenant"], rows[QUEUES]["authority"]) if len(rows) > QUEUES else _FIRST
        return rows[:QUEUES]


def _claimed(row: dict[str, Any]) -> ClaimedDelivery | None:
    """Return a row as a delivery; None for an outcome that was deleted."""
    if row["kind"] == "outcome" and row["status"] is None:
        return None
    row["job_id"] = str(row["job_id"])
    names = ("destination", "tries", "kind", "sequence")
    destination, tries, kind, sequence = (row.pop(name) for name in names)
    return ClaimedDelivery(row.pop("delivery_id").bytes, destination, tries, row, kind, sequence)
