"""States, dispositions, modes, lanes and custody of jobs. `docs/job_states.md` draws the states.

PENDING → PROCESSING → COMPLETED | FAILED | CANCELLED | EXPIRED. A run is RETRYING between two attempts.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> State:
        return cls.UNKNOWN

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED})


class Disposition(StrEnum):
    """A worker's result of one attempt."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> Disposition:
        return cls.UNKNOWN


class Mode(StrEnum):
    """Shadow runs notify no backend."""

    LIVE = "live"
    REPLAY = "replay"
    SHADOW = "shadow"


class Lane(StrEnum):
    """Live jobs go first; bulk jobs use the capacity that live jobs leave, and at least their reserved share."""

    LIVE = "live"
    BULK = "bulk"


class Custody(StrEnum):
    """How a worker gets a job and keeps it: OFFSET, the committed offset of the workers' consumer group
    (streams/worker/kafka_source), or LEASE, a lease in the store (streams/worker/lease_source)."""

    OFFSET = "offset"
    LEASE = "lease"
