"""The words a job's life is told in. `docs/job_states.md` draws them.

PENDING → PROCESSING → COMPLETED | FAILED | CANCELLED | EXPIRED, with RETRYING between attempts.
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
    """What a worker says of one attempt."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> Disposition:
        return cls.UNKNOWN


class Mode(StrEnum):
    LIVE = "live"
    REPLAY = "replay"
    SHADOW = "shadow"


class Lane(StrEnum):
    LIVE = "live"
    BULK = "bulk"


class Custody(StrEnum):
    OFFSET = "offset"
    LEASE = "lease"
