"""A stream's subscription at the hub: a bounded queue, and the reasons to end."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from gateway.event_records import Record

#: Bytes and records that wait for one slow reader; then its stream ends, and it continues by its last id.
MOST_WAITING_BYTES = 4 << 20
MOST_WAITING = 2_000


class Subscription:
    """Records for one stream, in the order of the log. `job_id` None: of all jobs.

    `closed`: the gateway stops. `lagging`: the reader is too slow, and records were left out from here on. `over`: the store
    says that the job has ended.
    """

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.closed = self.lagging = self.over = False
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()

    def offer(self, record: Record) -> None:
        if self.lagging:
            return
        self._bytes += record.size
        if len(self._records) >= MOST_WAITING or (self._records and self._bytes > MOST_WAITING_BYTES):
            self.lagging = True
        else:
            self._records.append(record)
        self._changed.set()

    def wake(self) -> None:
        self._changed.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until there is something to do, or for `timeout_s`."""
        if not self._changed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()

    @property
    def has_outcome(self) -> bool:
        return any(record.is_outcome for record in self._records)

    async def wait_for_outcome(self, timeout_s: float) -> None:
        """Wait until the outcome is there, or for `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (self.has_outcome or self.closed or self.lagging):
                    self._changed.clear()
                    await self._changed.wait()
        self._changed.set()

    def take(self) -> list[Record]:
        taken = list(self._records)
        self._records.clear()
        self._bytes = 0
        self._changed.clear()
        return taken
