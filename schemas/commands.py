"""Actions of commands on the `control` topic, and the keys of its records: compaction keeps the last record of each key."""

from __future__ import annotations

CANCEL, PAUSE, RESUME = "cancel", "pause", "resume"
#: A worker's acknowledgements of `PAUSE` and `RESUME`.
PAUSED, RESUMED = "paused", "resumed"

#: Kafka header of a pause or resume that the timekeeper repeats before the topic deletes it.
REPEATED = "sluice-repeated"


def job_key(job_id: str, run: int) -> bytes:
    return f"job:{job_id}:{run}".encode()


def processor_key(processor: str) -> bytes:
    return f"processor:{processor}".encode()


def acknowledgement_key(processor: str, worker_id: str) -> bytes:
    """Return the key of a worker's acknowledgement of a processor's pause or resume."""
    return f"processor:{processor}:{worker_id}".encode()
