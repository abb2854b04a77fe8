"""Finds the terminal events that became outcomes, and makes the records that publish them."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.sink_store import LogPosition, SinkStore, Stored, Unstorable
from schemas.records import ErrorInfo
from schemas.topics import TopicNames
from streams.engine_results import EngineResults
from streams.sink.decode import EventDecoder
from streams.sink.event import Event
from streams.sink.fold import JobFold
from streams.sink.outcomes import OutcomeRecord


def batch_winners(folds: Iterable[JobFold], stored: Stored) -> Iterable[tuple[JobFold, Event]]:
    """Yield the terminal events of a stored batch that became their runs' outcomes."""
    for job in folds:
        for number, run in job.runs.items():
            if run.candidate is not None and (run.candidate.job_id, number) not in stored.losers:
                yield job, run.candidate


def stored_winners(store: SinkStore, candidates: dict[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
    """Return the candidates that are stored outcomes. A candidate that the store can't hold never became one."""
    if not candidates:
        return set()
    try:
        return store.winners(candidates)
    except Unstorable:
        if len(candidates) == 1:
            return set()
        positions = list(candidates)
        middle = len(positions) // 2
        return stored_winners(
            store, {position: candidates[position] for position in positions[:middle]}
        ) | stored_winners(store, {position: candidates[position] for position in positions[middle:]})


class OutcomeEncoder:
    """Makes the outcome record of a winner."""

    def __init__(self, decoder: EventDecoder, names: TopicNames, engine_results: EngineResults) -> None:
        self._decoder = decoder
        self._names = names
        self._engine_results = engine_results

    def record(self, winner: Event) -> OutcomeRecord | None:
        """Return the winner's outcome; None if it has no Result and none can be encoded (its processor is unknown here)."""
        topic = self._decoder.table.topics[winner.message.topic() or ""]
        assert winner.terminal is not None
        value = winner.terminal.value or self._failed_result(winner)
        if value is None:
            return None
        key = f"{winner.header['job_id']}:{winner.run}".encode()
        return OutcomeRecord(self._names.outcomes(topic.processor or winner.header["processor"]), key, value)

    def _failed_result(self, winner: Event) -> bytes | None:
        """Encode a failed Result for a job that ended because its own result became a dead letter."""
        error = winner.terminal.error if winner.terminal is not None else None
        if error is None or winner.kind != "dead_letter":
            return None
        info = ErrorInfo(error["code"], error["message"], "", error["code"])
        return self._engine_results.failed_or_none(winner.header, info)
