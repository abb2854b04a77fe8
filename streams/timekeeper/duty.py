"""The interface of the timekeeper's duties, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from confluent_kafka import Message

from connectors.due_store import DueRun, DueStore
from connectors.lease_store import LeaseStore
from connectors.replay_store import ReplayStore
from schemas.errors import SluiceError, Unreachable
from schemas.records import Coordinates
from streams import logs
from streams.health.loop_threads import frames_of
from streams.settings import Settings
from streams.timekeeper.ending import RunEnder
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.requests import ReadRequests, RequestReader

log = logs.get("timekeeper")


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
    replays: ReplayStore
    reader: RequestReader
    publisher: RecordPublisher
    writer: RecordWriter
    ender: RunEnder

    def requests(self, dues: Iterable[DueRun]) -> ReadRequests:
        """Read these runs' requests from the log again. Raises Unreachable."""
        return self.reader.read({coordinates for due in dues if (coordinates := request_coordinates(due)) is not None})

    def header_of(self, message: Message | None, due: DueRun) -> Mapping[str, Any] | None:
        """Return the header of a run's request; None if there is none, or it can't be decoded. Raises Unreachable."""
        return None if message is None else self.header_of_value(message.value() or b"", due)

    def header_of_value(self, value: bytes, due: DueRun) -> Mapping[str, Any] | None:
        """Do as `header_of` with the request's bytes."""
        try:
            request = self.writer.decode_value(value, due.job_id)
        except SluiceError as error:
            if isinstance(error, Unreachable):
                raise
            return None
        except Exception as error:  # noqa: BLE001 - a record from outside: its run ends without its header
            log.error("request_unreadable", job_id=due.job_id, reason=type(error).__name__, frames=frames_of(error))
            return None
        header: Mapping[str, Any] | None = request["header"] if request else None
        return header


def request_coordinates(due: DueRun) -> Coordinates | None:
    """Return the coordinates of a run's request; None if the store does not know them."""
    if due.topic is None or due.partition is None or due.offset is None:
        return None
    return Coordinates(due.topic, due.partition, due.offset)


def unlisted_run(job_id: str, run: int, attempt: int, kind: str, processor: str) -> DueRun:
    """Return a run to end that did not come from `DueStore.due`."""
    now = datetime.now(UTC)  # stands in the result only if the request can't be decoded
    return DueRun(job_id, run, attempt, kind, processor, now, topic=None, topic_id=None, partition=None, offset=None)


MakeDuty = Callable[[DutyContext], Duty]
