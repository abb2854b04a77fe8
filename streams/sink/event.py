"""Event: a request, result or dead letter as the sink handles it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

from confluent_kafka import Message

from connectors.sink_store import LogPosition
from schemas.states import State


class Phase(IntEnum):
    """The kind of step that an event is. Within an attempt, a run moves only to a higher number. (1 would be PROCESSING, but
    another thread stores progress.)"""

    REQUESTED = 0
    RETRYING = 2
    ENDED = 3
    NOTED = -1  # only recorded in history


class TerminalResult(NamedTuple):
    """A candidate outcome. `output` and `refs` are encoded for the store; `value` is the Result to publish to `outcomes.*`."""

    state: State
    error: Mapping[str, Any] | None = None
    output: bytes | None = None
    refs: bytes | None = None
    device: str | None = None
    device_note: str | None = None
    model_version: str | None = None
    model_sha256: str | None = None
    code_version: str | None = None
    reused_from: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_ms: float | None = None
    plain_output: Any = None
    plain_refs: Any = None
    value: bytes | None = None


#: Header of a request that is not decoded yet. If the result comes in time, its header is used.
UNDECODED: Mapping[str, Any] = {}


class Event(NamedTuple):
    """A decoded record. `header` is the JobHeader as a plain dict; `request_position` locates the request, if it is known."""

    job_id: bytes
    run: int
    attempt: int
    execution: int
    sequence: int
    phase: Phase
    kind: str
    position: LogPosition
    at: datetime
    header: Mapping[str, Any]
    message: Message
    request_position: LogPosition | None = None
    owner: str | None = None
    retry_in_ms: int | None = None
    terminal: TerminalResult | None = None
    leased: bool = False  # a request that is to be claimed by lease

    @property
    def undecoded(self) -> bool:
        return self.header is UNDECODED

    @property
    def rank(self) -> tuple[int, int]:
        return (self.attempt, self.phase)
