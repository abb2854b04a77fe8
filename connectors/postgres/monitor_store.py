"""Reads for monitoring, from Postgres."""

from __future__ import annotations

from datetime import timedelta

from connectors.monitor_store import LeasedQueue, ProcessorFlow, SinkPosition
from connectors.postgres.base import PostgresStore

#: Runs of a window that are looked at: bounds the time of a query, whatever the rate.
MOST = 20_000


class PostgresMonitorStore(PostgresStore):
    """Implements `connectors.monitor_store.MonitorStore`."""

    application = "sluice monitor"

    def sink_positions(self, group: str) -> list[SinkPosition]:
        rows = self._rows("sink_positions", group=group)
        return [SinkPosition(row["topic_id"].bytes, row["partition"], row["next_offset"]) for row in rows]

    def leased(self) -> list[LeasedQueue]:
        return [LeasedQueue(**row) for row in self._rows("leased_queues")]

    def flow(self, window: timedelta) -> list[ProcessorFlow]:
        return [ProcessorFlow(**row) for row in self._rows("processor_flow", window=window, most=MOST)]
