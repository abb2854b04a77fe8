"""The worker: a parent that reads, publishes and commits, and a supervised child that holds the model.

May import: processors, streams.{health,log,wiring}, streams.worker.{kafka_source,lease_source,supervision}; this file imports
nothing, because the child must not load the parent. Start reading at `engine.py` (the loop), then `child/main.py`.
"""
