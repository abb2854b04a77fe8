"""The process that holds the model: decodes, prepares, runs and encodes jobs.

May import: connectors, processors, streams.wiring, streams.worker.{header_from_kafka,protocol,text_frame}; never
confluent_kafka or the parent. Start reading at `main.py`, then `job_runner.py`. It decides retries (`retry.py`);
`streams/timekeeper/due.py` starts them.
"""
