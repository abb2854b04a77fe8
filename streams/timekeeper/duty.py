"""What the timekeeper's duties share, and what a duty is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Message

from connectors.due_store import DueRun, DueStore
from connectors.lease_store import LeaseStore
from schemas.records import Coordinates
from streams.settings import Settings
from streams.timekeeper.outbox import Outbox
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.requests import RequestReader


class Duty(Protocol):
    """One kind of thing that is done because its time has come. Only the leader's duties are called, on one thread."""

    def turn(self) -> bool:
        """Do what is due, but not for long; True if there may be more. Raises Unreachable."""
        ...


@dataclass(frozen=True, slots=True)
class DutyContext:
    """`store` is the leader's: its connection holds the lock, so a call to it fails once leadership is lost."""

    settings: Settings
    store: DueStore
    leases: LeaseStore
    reader: RequestReader
    outbox: Outbox
    writer: RecordWriter

    def requests(self, dues: Iterable[DueRun]) -> dict[Coordinates, Message | None]:
        """The requests of these runs, read again, by their places."""
        return self.reader.read({place for due in dues if (place := place_of(due)) is not None})


def place_of(due: DueRun) -> Coordinates | None:
    """Where its request lies; None if it was never told."""
    if due.topic is None or due.partition is None or due.offset is None:
        return None
    return Coordinates(due.topic, due.partition, due.offset)


MakeDuty = Callable[[DutyContext], Duty]
