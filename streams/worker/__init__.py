"""The worker: a parent that reads, publishes and commits, and a supervised child that holds the model.

May import: processors, streams.{admin,health,log,wiring}, streams.worker.{gateway,kafka_source,lease_source,supervision}; this
file imports nothing, because the child must not load the parent. Start reading at `engine.py` (the loop), then `session.py` (a
job's way), `job.py` (its states), `job_source.py` (where jobs come from), `transport.py` (Kafka or a gateway),
`child/main.py`, `child/retry.py` (retries).

- run: a submission of a job, or a redrive of it
- attempt: a try of a run; after a retryable failure comes the next one
- execution: a start of an attempt; if its process ends meanwhile, there is another one
- crash: an execution whose process ended without being killed by us
- worker: a parent process, with a child for each processor
- child: the process that holds a processor's model; it may die at any time
"""
