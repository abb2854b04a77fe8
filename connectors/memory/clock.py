"""The database's clock: real time plus the time that a test has skipped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that never goes back and never returns the same time twice, like that of a database."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        self._last = max(datetime.now(UTC) + self._ahead, self._last + timedelta(microseconds=1))
        return self._last

    def advance(self, seconds: float) -> None:
        """Skip `seconds` at once."""
        if seconds < 0:
            raise ValueError(f"time does not go back, got {seconds} s")
        self._ahead += timedelta(seconds=seconds)
