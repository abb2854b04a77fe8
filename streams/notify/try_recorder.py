"""Stores the results of tries, many with one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from connectors.delivery_store import ProgressTry, TryRow
from connectors.sink_store import Unstorable
from schemas.errors import SluiceError
from streams import logs
from streams.notify.store_thread import StoreThread

log = logs.get("notify")

#: Rows of one statement.
BATCH = 1000
#: Seconds until a failed statement is tried again.
PAUSE_S = 0.5
#: Characters of an error that are stored.
LONGEST_ERROR = 2000


class TryRecorder:
    """`recorded` gets the id of each delivery whose try is stored. Rows wait here while the store is unreachable."""

    def __init__(self, store: StoreThread, recorded: Callable[[bytes], None]) -> None:
        self._store = store
        self._recorded = recorded
        self._rows: list[TryRow | ProgressTry] = []
        self._changed = asyncio.Event()
        self._ending = False

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: TryRow | ProgressTry) -> None:
        if row.error is not None and len(row.error) > LONGEST_ERROR:
            row = row._replace(error=row.error[:LONGEST_ERROR])
        self._rows.append(row)
        self._changed.set()

    def end(self) -> None:
        """Make `run` return once every row is stored."""
        self._ending = True
        self._changed.set()

    async def run(self) -> None:
        """Store rows as they come, until `end`."""
        while self._rows or not self._ending:
            if not self._rows:
                self._changed.clear()
                await self._changed.wait()
                continue
            batch = self._rows[:BATCH]
            try:
                await self._record(batch)
            except SluiceError as error:
                log.warning("tries_not_recorded", count=len(self._rows), reason=str(error))
                await asyncio.sleep(PAUSE_S)

    async def _record(self, rows: Sequence[TryRow | ProgressTry]) -> None:
        """Store these rows, the first of those that wait. A row that the store can't hold is found by halving."""
        try:
            await self._store_all(rows)
        except Unstorable as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                await self._record(rows[:middle])
                await self._record(rows[middle:])
                return
            await self._record_bare(rows[0], error)
        del self._rows[: len(rows)]
        for row in rows:
            self._recorded(row.delivery_id)

    async def _store_all(self, rows: Sequence[TryRow | ProgressTry]) -> None:
        progress = [row for row in rows if isinstance(row, ProgressTry)]
        tries = [row for row in rows if isinstance(row, TryRow)] if progress else cast(Sequence[TryRow], rows)
        if progress:
            await self._store.call(lambda store: store.record_progress(progress))
        if tries:
            await self._store.call(lambda store: store.record(tries))

    async def _record_bare(self, row: TryRow | ProgressTry, error: Unstorable) -> None:
        """Store a row without its text, which must be at fault: everything else in it is ours."""
        log.warning("try_error_not_storable", delivery_id=row.delivery_id.hex(), reason=str(error))
        bare = row._replace(error=None if row.error is None else "The error has no storable text.")
        await self._store_all([bare])
