"""The sink: stores each batch of records with one statement. The first final result of a run wins and is published.

May import: connectors, streams.{engine_results,health,log,notify,process,wiring}. Start reading at `session.py` (the loop),
then `fold.py` (what a batch of events means) and `connectors/postgres/queries/store_batch.sql` (which result wins).
"""

from __future__ import annotations

from streams.sink.sink import Sink

__all__ = ["Sink"]
