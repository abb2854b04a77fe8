"""States, dispositions, modes, lanes and custody of jobs. `docs/job_states.md` draws the states.

PENDING → PROCESSING → COMPLETED | FAILED | CANCELLED | EXPIRED, with RETRYING is between attempts.
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

    """Shadow runs notify no backend."""

    LIVE = "live"
    REPLAY = "replay"
    SHADOW = "shadow"


class Lane(StrEnum):
    """Live jobs go first; bulk jobs use the capacity that live jobs leave, and at least their reserved share."""

    """Live jobs go first; bulk jobs use the capacity that live jobs leave, and at least their reserved share."""

    LIVE = "live"
    BULK = "bulk"


class Custody(StrEnum):
    """Owner of a waiting job: the offset of a worker group, or a lease in the store."""

    """Owner of a waiting job: the offset of a worker group, or a lease in the store."""

    OFFSET = "offset"
    LEASE = "lease"
