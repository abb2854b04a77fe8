"""Dead letters for operators: their records read from the log, explained, and given to a replay.

May import: schemas, connectors, streams.replay, streams.timekeeper, streams.wiring.
Start reading at `details.py` (one dead letter), then `redrive.py` (many).
"""
