"""The timekeeper: acts when a time has come. Everything that waits is a row with a due time, and one leader handles the rows.

May import: connectors, streams.{engine_results,health,log,wiring}; no other service.
Start reading at `timekeeper.py` (who leads), then `due.py` (retries, releases and deadlines).
"""

from __future__ import annotations

from streams.timekeeper.timekeeper import Timekeeper

__all__ = ["Timekeeper"]
