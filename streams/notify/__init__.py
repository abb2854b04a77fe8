"""Notify: calls backends back when their jobs end, at once if possible, and again on a schedule until it succeeds.

Runs on a thread of the sink (`inline.py`) or as a service of its own (`service.py`). May import: connectors,
connectors.callbacks, streams.{health,process,wiring}; never streams.sink. Start reading at `dispatcher.py`, which takes every
delivery from its claim to the record of its try.
"""

from __future__ import annotations

from streams.notify.service import Notifier

__all__ = ["Notifier"]
