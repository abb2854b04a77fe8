"""The messages between the child's process and its helpers."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from typing import Any, NamedTuple

from streams.worker.protocol import ChildConfig, JobFrame


class ModelFacts(NamedTuple):
    """Facts about a loaded version that each result names. The child's process knows them; a helper has no device."""

    device: str
    device_note: str | None
    model_sha256: str | None


# ── to a helper ──


class HelperConfig(NamedTuple):
    """The first message. `facts`: of each version, in the order in which they are loaded."""

    child: ChildConfig
    facts: list[ModelFacts]


class Prepare(NamedTuple):
    frames: list[JobFrame]


class Ran(NamedTuple):
    """A job that has run on the device."""

    slot: int
    outcome: Any
    run_ms: float
    batch_size: int


class Finish(NamedTuple):
    ran: list[Ran]


class Cancel(NamedTuple):
    """Jobs that should stop."""

    slots: list[int]


class Discard(NamedTuple):
    """Prepared jobs that will not be finished here."""

    slots: list[int]


# ── from a helper: first Ready or Broken, then lists of the others ──


class Ready(NamedTuple):
    pid: int


class Broken(NamedTuple):
    message: str
    next_step: str | None


class Relay(NamedTuple):
    """A frame for the parent."""

    frame: bytes


class PreparedJob(NamedTuple):
    """A job that waits for the device; the fields of its DeviceTask."""

    slot: int
    version: str
    item: Any
    batch_key: Hashable
    cost: float
    deadline: datetime | None
    hard_ms: int | None
    started_us: int
    prepare_ms: float


class Answered(NamedTuple):
    """Answers, as a frame for the parent."""

    slots: list[int]
    frame: bytes
