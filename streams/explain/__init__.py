"""Says why a job is not done yet, or how it ended, and what happens next: `sluice explain`, and the gateway's explanation.

May import: connectors, connectors.callbacks, processors.rollout, streams.{health,log,wiring},
streams.timekeeper.requests and streams.worker.kafka_source.offset_metadata. Start reading at `explain.py`, the pure part;
`collect.py` asks everything.
"""
