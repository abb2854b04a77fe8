"""The worker's engine for jobs that are claimed by lease (docs/adr/0014): minutes to hours, any idle device takes the next one.

May import what the worker may; knows the port `connectors.lease_store` and nothing of what stands behind it. Start reading at
`engine.py`, then `heart.py` (what keeps a job ours) and `gate.py` (what is published of one that may not be ours any more).
"""

from __future__ import annotations

from streams.worker.lease_source.engine import LeaseEngine

__all__ = ["LeaseEngine"]
