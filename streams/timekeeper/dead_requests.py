"""Publishes requests that the timekeeper gives up to `dead-letters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.errors import ErrorCode
from schemas.headers import dead_letter_headers
from schemas.records import Coordinates
from streams import logs
from streams.timekeeper.ending import RunKey
from streams.timekeeper.publisher import RecordPublisher

log = logs.get("timekeeper")


class DeadRequest(NamedTuple):
    """A request that was given up, as it was published. `coordinates`: None if the log does not have it."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, Any]
    coordinates: Coordinates | None
    code: ErrorCode
    message: str
    attempts: int
    worker: str

    @property
    def reasons(self) -> dict[str, bytes]:
        place = self.coordinates
        return dead_letter_headers(
            reason=self.code,
            message=self.message,
            topic=place.topic if place else "",
            partition=place.partition if place else 0,
            offset=place.offset if place else -1,
            attempts=self.attempts,
            worker=self.worker,
        )


def publish_dead(publisher: RecordPublisher, topic: str, requests: Mapping[RunKey, DeadRequest]) -> None:
    """Publish the dead letters of these requests, by the names of their runs; one that is too large without its value."""
    for name, request in requests.items():
        publisher.put(name, topic, request.key, request.value, {**request.headers, **request.reasons})
    refused = publisher.flush()
    for name, request in requests.items():
        if name in refused:  # its coordinates still find it
            publisher.put(name, topic, request.key, None, request.reasons)
    for name, error in publisher.flush().items():
        log.error("dead_letter_not_published", run=name, code=error.name())
