"""Notify: tells backends how their jobs ended, at once where it can and again on a schedule where it must.

A thread of the sink (`inline.py`) or a service of its own (`service.py`). May import: schemas, connectors, aiohttp's loop only
through connectors.callbacks. Start reading at `courier.py`, which owns every delivery between claim and record.
"""

from __future__ import annotations

from streams.notify.service import Notifier

__all__ = ["Notifier"]
