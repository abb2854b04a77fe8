"""What the sink reads, whichever topic it came from: one shape for a request, a result and a dead letter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

from confluent_kafka import Message

from connectors.store import LogPosition
from schemas.states import State


class Phase(IntEnum):
    """How far an event takes its run within an attempt. (PROCESSING lies at 1; progress is read by a thread of its own.)"""

    REQUESTED = 0
    RETRYING = 2
    ENDED = 3
    NOTED = -1  # kept in history, moves nothing


class TerminalResult(NamedTuple):
    """A candidate outcome. `output` and `refs` are encoded for the store, `value` is the Result as `outcomes.*` gets it."""

    state: State
    error: Mapping[str, Any] | None = None
    output: bytes | None = None
    refs: bytes | None = None
    device: str | None = None
    device_note: str | None = None
    model_version: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_ms: float | None = None
    plain_output: Any = None
    plain_refs: Any = None
    value: bytes | None = None


#: The header of a request that was not decoded yet, because its result will most likely bring the same header.
UNDECODED: Mapping[str, Any] = {}


class Event(NamedTuple):
    """One record. `header` is the JobHeader as a plain dict; `request_place` is where the request lies, if it is known."""

    job_id: bytes
    run: int
    attempt: int
    execution: int
    sequence: int
    phase: Phase
    kind: str
    place: LogPosition
    at: datetime
    header: Mapping[str, Any]
    message: Message
    request_place: LogPosition | None = None
    owner: str | None = None
    retry_in_ms: int | None = None
    ending: TerminalResult | None = None
    leased: bool = False  # of a request: it is to be claimed by lease

    @property
    def sealed(self) -> bool:
        return self.header is UNDECODED

    @property
    def rank(self) -> tuple[int, int]:
        return (self.attempt, self.phase)
