"""Measures what a job costs as things grow: jobs, workers, partitions, processors, payloads: `sluice bench growth`.

May import: what `bench` may. Start reading at `rows.py`, which has what is measured; `run.py` measures it.
"""
