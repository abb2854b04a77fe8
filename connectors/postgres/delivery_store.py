"""The notifier's store on Postgres."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from connectors.delivery_store import CLAIM_BYTES, NOT_BUSY, PER_QUEUE, QUEUES, Busy, ClaimedDelivery, TryRow
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
    prepared = ("record_tries",)
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
        )
        return [_claimed(row) for row in rows]

    def held(self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES) -> list[ClaimedDelivery]:
        rows = self._rows("held_deliveries", notifier=UUID(bytes=notifier), limit=limit, max_bytes=max_bytes)
        return [_claimed(row) for row in rows]

    def record(self, rows: Sequence[TryRow]) -> None:
        with self._connected("recording deliveries") as connection:
            try:
                statement("record_tries").run(connection, t=sorted(rows, key=itemgetter(0)))
            except (struct.error, OverflowError) as error:
                raise Unstorable(f"Postgres can't hold a try: {type(error).__name__}.") from error

    def _next_queues(self, full_tenants: Sequence[str]) -> list[dict[str, Any]]:
        """Return the queues behind those of the last call; after the last queue the first ones again."""
        tenant, authority = self._next_queue
        rows = self._rows("delivery_queues", tenant=tenant, authority=authority, full=full_tenants, limit=QUEUES + 1)
        self._next_queue = (rows[QUEUES]["tenant"], rows[QUEUES]["authority"]) if len(rows) > QUEUES else _FIRST
        return rows[:QUEUES]


def _claimed(row: dict[str, Any]) -> ClaimedDelivery:
    row["job_id"] = str(row["job_id"])
    return ClaimedDelivery(row.pop("delivery_id").bytes, row.pop("destination"), row.pop("tries"), row)
