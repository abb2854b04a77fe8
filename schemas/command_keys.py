"""The keys of the control topic, by which it is compacted: one order a job and run, one a processor, one answer a worker."""

from __future__ import annotations


def job_key(job_id: str, run: int) -> bytes:
    return f"job:{job_id}:{run}".encode()


def processor_key(processor: str) -> bytes:
    return f"processor:{processor}".encode()


def acknowledgement_key(processor: str, worker_id: str) -> bytes:
    """A worker's answer to a processor's pause or resume."""
    return f"processor:{processor}:{worker_id}".encode()
