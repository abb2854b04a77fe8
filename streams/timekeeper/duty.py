"""The interface of the timekeeper's duties, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Message

from connectors.due_store import DueRun, DueStore
from connectors.lease_store import LeaseStore
from schemas.records import Coordinates
from streams.settings import Settings
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.requests import RequestReader


class Duty(Protocol):
    """A kind of scheduled work. Only the leader calls its duties, on one thread."""

    def run_once(self) -> bool:
        """Do what is due, up to a bounded batch; return True if there may be more. Raises Unreachable, SluiceError."""
        ...


@dataclass(frozen=True, slots=True)
class DutyContext:
    """Dependencies of the duties. The connection of `store` holds the leader's lock: its calls fail once leadership is lost."""

    settings: Settings
    store: DueStore
    leases: LeaseStore
    reader: RequestReader
    publisher: RecordPublisher
    writer: RecordWriter

    def requests(self, dues: Iterable[DueRun]) -> dict[Coordinates, Message | None]:
        """Read these runs' requests from the log again; None where the log no longer has one. Raises Unreachable."""
        return self.reader.read({coordinates for due in dues if (coordinates := request_coordinates(due)) is not None})


def request_coordinates(due: DueRun) -> Coordinates | None:
    """Return the coordinates of a run's request; None if the store does not know them."""
    if due.topic is None or due.partition is None or due.offset is None:
        return None
    return Coordinates(due.topic, due.partition, due.offset)


MakeDuty = Callable[[DutyContext], Duty]
