"""The worker: a parent that reads, publishes and commits, and a supervised child that holds the model.

May import: processors, streams.{health,log,wiring}, streams.worker.{kafka_source,lease_source,supervision}; this file imports
nothing, because the child must not load the parent. Start reading at `engine.py` (the loop), then `session.py` (a job's way),
`job.py` (its states), `job_source.py` (where jobs come from), `child/main.py`, `child/retry.py` (retries).

- run: a job's submission, or a redrive of it. - attempt: a try of a run; a retryable failure leads to the next one.
- execution: a start of an attempt; a process that ends under it leads to the next one.
- crash: an execution whose process ended, and we had not killed it. - in flight: admitted and not finished.
- worker: a parent and one child per processor. - child: the process that holds the model; it may die at any time.
"""
