"""The flow: the Kafka log, worker engine, sink, timekeeper, local stack and command line.

May import: schemas, processors, connectors, and confluent_kafka (only here). `wiring.py` is the one composition root and
`settings.py` the one reader of the environment. Start reading at `docs/ARCHITECTURE.md`, then `worker/` and `sink/`.
"""
