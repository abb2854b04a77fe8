"""Commands on Postgres: written by the sink, read by the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow
from connectors.postgres.base import PostgresStore
from connectors.postgres.statement import statement
from connectors.views import AcknowledgementView, ProcessorView, RunState
from schemas.errors import SluiceError

_OPEN = "r.state IN ('PENDING', 'PROCESSING', 'RETRYING')"


class PostgresCommandStore(PostgresStore):
    """Implements `connectors.command_store.CommandStore`."""

    application = "sluice control"
    prepared = ("store_cancels", "store_commands", "store_acknowledgements")

    def write(
        self,
        cancels: Sequence[CancelRow],
        commands: Sequence[CommandRow],
        acknowledgements: Sequence[AcknowledgementRow],
    ) -> None:
        tables = zip(self.prepared, "cpa", (cancels, commands, acknowledgements), strict=True)
        try:
            with self._connected("storing commands") as connection, connection.transaction():
                # Sorted, so that two sinks lock rows in the same order.
                for name, table, rows in tables:
                    if rows:
                        statement(name).run(connection, **{table: sorted(rows)})
        except SluiceError:
            self.close()
            raise

    def run_states(self, job_ids: Sequence[str], run: int | None = None) -> list[RunState]:
        keys = [UUID(job_id) for job_id in job_ids]
        return self._run_states("j.job_id = ANY(%(keys)s)", keys=keys, run=run)

    def open_jobs(self, batch_id: str) -> list[RunState]:
        return self._run_states(f"j.batch_id = %(batch_id)s AND {_OPEN}", batch_id=batch_id, run=None)

    def processors(self, names: Sequence[str]) -> list[ProcessorView]:
        return [_processor_view(row) for row in self._rows("processors", names=list(names))]

    def _run_states(self, condition: str, **parameters: Any) -> list[RunState]:
        return [RunState(**row) for row in self._rows("run_states", {"wanted": condition}, **parameters)]


def _processor_view(row: dict[str, Any]) -> ProcessorView:
    rows = row.pop("acknowledgements")
    acknowledgements = [AcknowledgementView(**{**each, "at": datetime.fromisoformat(each["at"])}) for each in rows]
    return ProcessorView(**row, acknowledgements=acknowledgements)
