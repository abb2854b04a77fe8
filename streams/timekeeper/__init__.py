"""The timekeeper: one leader acts on rows whose time has come: retries, delayed jobs, deadlines, cancels, expired leases.

May import: connectors, streams.{engine_results,health,log,wiring}; no other service.
Start reading at `timekeeper.py` (who leads), then `due.py` (retries, releases and deadlines).
"""

from __future__ import annotations

from streams.timekeeper.timekeeper import Timekeeper

__all__ = ["Timekeeper"]
