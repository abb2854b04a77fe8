"""The process that holds the model: decodes, prepares, runs and encodes jobs.

May import schemas, processors, connectors, streams.wiring and worker/protocol.py; never confluent_kafka or the parent.
Start reading at `main.py`, then `job_runner.py`.
"""
