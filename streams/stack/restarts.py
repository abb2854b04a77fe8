"""When a process that died is started again, and the file in which `sluice status` reads of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from streams.stack import logfile

FILE = "restarts.json"
#: Seconds before each try, by the number of failures in a row; the last one repeats.
BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
#: Seconds after which a process counts as running well: the next failure is the first in a row again.
RUNS_WELL_S = 20.0
#: This many failures in a row are a crash loop.
CRASH_LOOP = 3
_ERRORS = ("error", "critical")
_MOST = 300  # characters of an error


@dataclass(frozen=True, slots=True)
class Restarts:
    """The failures of one component or service since the last `sluice up`."""

    name: str
    times: int = 0
    #: Failures without having run well in between.
    in_a_row: int = 0
    #: How it failed the last time: "has died", or why it counts as hung.
    reason: str = ""
    #: The last error in its log at that time, if there is one.
    error: str | None = None
    at: datetime | None = None
    #: When it will be started again; None if it has been.
    next_at: datetime | None = None

    @property
    def crash_loop(self) -> bool:
        """True if it fails each time it is started."""
        return self.in_a_row >= CRASH_LOOP

    @property
    def wait_s(self) -> float:
        """Seconds to wait after the last failure before it is started again."""
        return BACKOFF_S[min(self.in_a_row, len(BACKOFF_S)) - 1]

    def failed(self, reason: str, error: str | None, now: datetime) -> Restarts:
        """Return the state after one more failure."""
        once_more = replace(self, times=self.times + 1, in_a_row=self.in_a_row + 1, reason=reason, error=error, at=now)
        return replace(once_more, next_at=now + timedelta(seconds=once_more.wait_s))

    def __str__(self) -> str:
        times = "once" if self.times == 1 else f"{self.times} times"
        row = f", {self.in_a_row} times in a row without running for {RUNS_WELL_S:.0f} s" if self.crash_loop else ""
        last = f"; last at {self.at:%H:%M:%S} UTC: it {self.reason}" if self.at is not None else ""
        error = f"; its log says: {self.error}" if self.error else ""
        again = f"; it is started again at {self.next_at:%H:%M:%S} UTC" if self.next_at is not None else ""
        return f"failed {times}{row}{last}{error}{again}"


def read_restarts(home: Path) -> tuple[Restarts, ...]:
    """Return the failures that the running supervisor has seen; none if the file is missing or damaged."""
    try:
        return tuple(_parse(fields) for fields in json.loads((home / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def write_restarts(home: Path, restarts: Iterable[Restarts]) -> None:
    """Replace the file."""
    fresh = home / f"{FILE}.new"
    fresh.write_text(json.dumps([asdict(each) for each in restarts], default=str, indent=2), encoding="utf-8")
    fresh.replace(home / FILE)


def last_error(log: Path, since: datetime | None = None) -> str | None:
    """Return the last error in a log, not older than `since`; else its last line if that is neither JSON nor an INFO.

    Of a JSON line only the event and the kind of error: other fields may be long.
    """
    lines = [line for line in logfile.tail(log, lines=100).splitlines() if line.strip()]
    found = next((text for line in reversed(lines) if (text := _error(line, since)) is not None), None)
    if found is None and lines and not lines[-1].startswith("{") and " INFO " not in lines[-1]:
        found = lines[-1]
    return None if found is None else found[:_MOST]


def _error(line: str, since: datetime | None) -> str | None:
    if not line.startswith("{"):
        return line if any(word in line for word in ("error: ", "ERROR", "FATAL")) else None
    try:
        entry = json.loads(line)
        old = since is not None and datetime.fromisoformat(entry["timestamp"]) < since
        if old or entry["level"] not in _ERRORS:
            return None
        facts = [f"{name}={entry[name]}" for name in ("loop", "reason", "error", "seconds") if name in entry]
        return " ".join([entry["event"], *facts])
    except (ValueError, KeyError, TypeError):
        return None


def _parse(fields: dict[str, Any]) -> Restarts:
    times = {name: datetime.fromisoformat(fields[name]) if fields[name] else None for name in ("at", "next_at")}
    return Restarts(**fields | times)


def utc_now() -> datetime:
    """Return the time now, for `Restarts.failed`."""
    return datetime.now(UTC)
