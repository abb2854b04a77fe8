"""Audits the promise: whether each accepted job's outcome is stored, published and delivered, from the log and the store.

May import: connectors (the ports), streams.{client,health,log,wiring}, streams.worker.kafka_source.offset_metadata.
Start reading at `auditor.py` (the order of the reads, which decides what may be concluded), then `assess.py` (the conclusions).
"""
