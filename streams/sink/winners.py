"""Finds the terminal events that became outcomes, and makes the records that publish them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from connectors.sink_store import LogPosition, SinkStore, Stored
from schemas.headers import DL_TOPIC
from schemas.records import ErrorInfo
from schemas.topics import TopicNames
from streams import logs
from streams.engine_results import EngineResults
from streams.log.reconnect import until_reachable
from streams.sink.decode import EventDecoder
from streams.sink.event import Event
from streams.sink.fold import JobFold
from streams.sink.outcomes import OutcomeRecord
from streams.sink.patience import Patience
from streams.sink.rows import bare
from streams.sink.validate import POISON
from streams.sink.writer import PAUSES

log = logs.get("sink")


def batch_winners(folds: Iterable[JobFold], stored: Stored) -> Iterable[tuple[JobFold, Event]]:
    """Yield the terminal events of a stored batch that became their runs' outcomes."""
    for job in folds:
        for number, run in job.runs.items():
            if run.candidate is not None and (run.candidate.job_id, number) not in stored.losers:
                yield job, run.candidate


def batch_losers(folds: Iterable[JobFold], stored: Stored) -> list[Event]:
    """Return the terminal events of a stored batch that did not become their runs' outcomes by it."""
    if not stored.losers:
        return []
    return [
        run.candidate
        for job in folds
        for number, run in job.runs.items()
        if run.candidate is not None and (run.candidate.job_id, number) in stored.losers
    ]


class StoredWinners:
    """Asks the store which events became outcomes, by their place in the log."""

    def __init__(self, store: SinkStore, stop: threading.Event, patience: Patience) -> None:
        self._store = store
        self._stop = stop
        self._patience = patience

    def among(self, candidates: Sequence[Event]) -> list[Event]:
        """Return the candidates that are stored outcomes. Raises Unreachable, Stopped."""
        events = {event.position: event for event in candidates}
        won = self._find({position: (event.job_id, event.run) for position, event in events.items()})
        return [event for position, event in events.items() if position in won]

    def _find(self, candidates: dict[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
        if not candidates:
            return set()
        try:
            return until_reachable(
                lambda: self._store.winners(candidates),
                self._stop,
                log,
                "store_unavailable",
                pauses=PAUSES,
                limit_s=self._patience.left_s,
            )
        except POISON:  # what the store can't hold never became an outcome
            if len(candidates) == 1:
                return set()
            positions = list(candidates)
            middle = len(positions) // 2
            return self._find({position: candidates[position] for position in positions[:middle]}) | self._find(
                {position: candidates[position] for position in positions[middle:]}
            )


class OutcomeEncoder:
    """Makes the outcome record of a winner."""

    def __init__(self, decoder: EventDecoder, names: TopicNames, engine_results: EngineResults) -> None:
        self._decoder = decoder
        self._names = names
        self._engine_results = engine_results

    def record(self, winner: Event) -> OutcomeRecord | None:
        """Return the winner's outcome; None if it has no Result and none can be encoded (its processor is unknown here).

        Raises Unreachable if the schema registry has to be asked and does not answer.
        """
        assert winner.terminal is not None
        processor = self._processor(winner)
        value = winner.terminal.value or self._failed_result(winner, processor)
        if value is None:
            log.error("outcome_without_record", job_id=winner.header["job_id"], run=winner.run)
            return None
        key = f"{winner.header['job_id']}:{winner.run}".encode()
        return OutcomeRecord(self._names.outcomes(processor), key, value)

    def _processor(self, winner: Event) -> str:
        """Return the processor of the topic that the record, or the dead letter in its place, was written to."""
        topic = self._decoder.table.topics[winner.message.topic() or ""]
        if topic.processor:
            return topic.processor
        source = dict(winner.message.headers() or ()).get(DL_TOPIC) or b""
        named = self._names.processor_of(source.decode("utf-8", "replace")) if isinstance(source, bytes) else None
        return named or str(winner.header["processor"])

    def _failed_result(self, winner: Event, processor: str) -> bytes | None:
        """Encode a failed Result for a job that ended because its own result became a dead letter."""
        error = winner.terminal.error if winner.terminal is not None else None
        if error is None or winner.kind != "dead_letter":
            return None
        info = ErrorInfo(error["code"], error["message"], "", error["code"])
        # If the header does not fit the schema, as one from a foreign producer may not, a smaller one is used.
        for header in (winner.header, bare(winner).header):
            named = {**header, "processor": processor}
            value = self._engine_results.failed_like(named, info, winner.message.value() or b"")
            if value is not None:
                return value
        return None
