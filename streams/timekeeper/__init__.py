"""The timekeeper: whatever waits for a time is a row with a due time, and one leader looks after them.

May import: schemas, connectors, streams.log. Start reading at `timekeeper.py` (who leads), then `due.py` (what is done).
"""

from __future__ import annotations

from streams.timekeeper.timekeeper import Timekeeper

__all__ = ["Timekeeper"]
