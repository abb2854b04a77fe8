"""The sink: arbiter of results. Folds what the log says into rows, one statement a batch, and publishes what won.

May import: schemas, connectors, streams.log, streams.notify. Start reading at `session.py` (the loop), then `fold.py` (what a
batch of events means) and `connectors/postgres/queries/store_batch.sql` (who wins).
"""

from __future__ import annotations

from streams.sink.sink import Sink

__all__ = ["Sink"]
