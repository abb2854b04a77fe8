"""Stores the progress that workers report, and marks its runs as PROCESSING."""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import itemgetter

from confluent_kafka import Message

from connectors.sink_store import ProgressRow, SinkStore
from schemas.codec import Codec
from schemas.errors import UndecodableRecord, Unreachable
from schemas.records import Progress
from streams import wiring
from streams.settings import Settings
from streams.sink.decode import job_bytes
from streams.sink.rows import delivery_id
from streams.sink.topic_follower import TopicFollower
from streams.sink.validate import POISON, check, kinds_of

#: Seconds that progress is kept for a run the store does not know yet: the sink holds requests back for a second.
KEEP_S = 10.0
#: Runs whose progress is kept, at most; that of others is skipped.
MOST_RUNS = 10_000

_KINDS = kinds_of(Progress)
#: The fields of a ProgressRow after the job id, in its order.
_STORED = itemgetter("run", "attempt", "execution", "sequence", "worker_id", "stage", "percent", "message")


def follow_progress(settings: Settings, codec: Codec) -> TopicFollower[SinkStore]:
    """Return a follower of the progress topic. It begins at the log's end: old progress says nothing about now."""
    return TopicFollower(
        settings,
        "progress",
        topic=settings.topics.progress,
        reset="latest",
        handle=ProgressWriter(codec).handle,
        store=lambda: wiring.sink_store(settings, application="sluice progress"),
    )


class ProgressWriter:
    """Stores the latest progress of each run. Used by one thread."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._latest: dict[tuple[bytes, int], tuple[float, ProgressRow]] = {}

    def handle(self, messages: Sequence[Message], store: SinkStore) -> None:
        """Store the progress in `messages` (not generated text), and try again to store that of unknown runs.

        Raises Unreachable.
        """
        for message in messages:
            self._add(message)
        if self._latest:
            self._remove(mark(store, [row for _, row in self._latest.values()]))

    def _add(self, message: Message) -> None:
        try:
            row = self._row(message)
        except (UndecodableRecord, Unreachable, *POISON):
            return  # progress is only a hint: a record that can't be read now is skipped
        if row is None:
            return
        key = (row.job_id, row.run)
        known = self._latest.get(key)
        if known is None and len(self._latest) >= MOST_RUNS:
            return
        if known is None or _recency(row) > _recency(known[1]):
            self._latest[key] = (time.monotonic(), row)

    def _row(self, message: Message) -> ProgressRow | None:
        """Return the row of an update; None for generated text, which only its subscribers read."""
        plain = self._codec.decode(message.value() or b"")
        check(plain, _KINDS, "progress")
        if plain.get("text") is not None:
            return None
        try:
            job_id = job_bytes(plain["job_id"])
            return ProgressRow._make((job_id, *_STORED(plain), delivery_id(job_id, plain["run"], "progress")))
        except KeyError as error:
            raise UndecodableRecord(f"The progress record lacks the field {error}.") from error

    def _remove(self, stored: set[tuple[bytes, int]]) -> None:
        """Remove the stored runs, and those whose request has not come within KEEP_S."""
        too_old = time.monotonic() - KEEP_S
        for key, (at, _) in list(self._latest.items()):
            if key in stored or at < too_old:
                del self._latest[key]


def mark(store: SinkStore, rows: Sequence[ProgressRow]) -> set[tuple[bytes, int]]:
    """Store the rows; return the runs whose progress need not be kept: the store knows the run, or can't hold the row."""
    try:
        return store.mark_progress(rows)
    except POISON:
        if len(rows) == 1:
            return {(rows[0].job_id, rows[0].run)}
        middle = len(rows) // 2
        return mark(store, rows[:middle]) | mark(store, rows[middle:])


def _recency(row: ProgressRow) -> tuple[int, int, int]:
    return (row.attempt, row.execution, row.sequence)
