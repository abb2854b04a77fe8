"""The database's clock: real time, and as much more as a test has let pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Never goes back. Reading it twice in a row never gives the same moment, as a database's does not."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        self._last = max(datetime.now(UTC) + self._ahead, self._last + timedelta(microseconds=1))
        return self._last

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once."""
        if seconds < 0:
            raise ValueError(f"time does not go back, got {seconds} s")
        self._ahead += timedelta(seconds=seconds)
