"""Replays: which jobs, and how they are to run again. Freezes a selection; the timekeeper publishes it.

May import: connectors, connectors.callbacks, streams.{admin,log,timekeeper,wiring}.
Start reading at `selection.py`, then `start.py`; `streams/timekeeper/replays.py` publishes.
"""

from __future__ import annotations
