"""The notifier's store on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_store import ClaimedDelivery, TryRow
from connectors.postgres.base import PostgresStore
from connectors.postgres.statement import statement


class PostgresDeliveryStore(PostgresStore):
    """Implements `connectors.delivery_store.DeliveryStore`."""

    application = "sluice notify"
    # As in the sink: every table is reached by a key or a small partial index, whatever plan empty tables would suggest.
    session = """
        SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
        SET plan_cache_mode = force_generic_plan; SET jit = off
    """
    prepared = ("record_tries",)

    def renew(self, notifier: bytes, lease_s: float) -> None:
        self._rows("renew_notifier", notifier=UUID(bytes=notifier), lease=timedelta(seconds=lease_s))
        self._rows("delete_dead_notifiers")

    def retire(self, notifier: bytes) -> None:
        self._rows("retire_notifier", notifier=UUID(bytes=notifier))

    def claim(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        return [_claimed(row) for row in self._rows("claim_deliveries", notifier=UUID(bytes=notifier), limit=limit)]

    def held(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        return [_claimed(row) for row in self._rows("held_deliveries", notifier=UUID(bytes=notifier), limit=limit)]

    def record(self, rows: Sequence[TryRow]) -> None:
        with self._connected("recording deliveries") as connection:
            statement("record_tries").run(connection, t=sorted(rows))


def _claimed(row: dict[str, Any]) -> ClaimedDelivery:
    row["job_id"] = str(row["job_id"])
    return ClaimedDelivery(row.pop("delivery_id").bytes, row.pop("destination"), row.pop("tries"), row)
