"""Joins the text that jobs generate into records. Pure, except that the caller locks.

A job's first piece goes out at once; what follows within `PERIOD_S` is joined to one record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streams import logs
from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.text_frame import LONGEST_STREAM

log = logs.get("worker")

#: Seconds between two records of a job.
PERIOD_S = 0.1
#: Characters of one record: a job that generates more within PERIOD_S writes further records at once.
LONGEST_PIECE = 16_384
#: `stage` of these records.
STAGE = "text"


@dataclass(slots=True)
class _Text:
    due: float = 0.0
    sequence: int = 0
    length: int = 0
    waiting: list[str] = field(default_factory=list)
    waiting_length: int = 0


class GeneratedTexts:
    """Text of the jobs that run in the child, by slot. All times are monotonic."""

    def __init__(self) -> None:
        self._texts: dict[int, _Text] = {}

    def __bool__(self) -> bool:
        return bool(self._texts)

    def add(self, slot: int, text: str, now: float, *, restart: bool = False) -> list[ProgressUpdate]:
        """Take generated text; return the records to write now."""
        state = self._texts.get(slot)
        if state is None or restart:
            state = self._texts[slot] = _Text()
        if restart:
            return []
        kept = text[: LONGEST_STREAM - state.length]
        if len(kept) < len(text) and state.length < LONGEST_STREAM:
            log.warning("text_cut", longest=LONGEST_STREAM)
        if not kept:
            return []
        state.length += len(kept)
        state.waiting_length += len(kept)
        state.waiting.append(kept)
        return _take(slot, state, now) if now >= state.due or state.waiting_length >= LONGEST_PIECE else []

    def due(self, now: float) -> list[ProgressUpdate]:
        """Return the records to write now."""
        return [
            update
            for slot, state in self._texts.items()
            if state.waiting and now >= state.due
            for update in _take(slot, state, now)
        ]

    def end(self, slots: Iterable[int]) -> list[ProgressUpdate]:
        """Forget jobs that have an answer; return the rest of their texts, which goes out before the answer."""
        ended = [(slot, state) for slot in slots if (state := self._texts.pop(slot, None)) is not None]
        return [update for slot, state in ended for update in _take(slot, state, 0.0)]

    def forget(self, slots: Iterable[int]) -> None:
        """Forget jobs that are not ours any more."""
        for slot in slots:
            self._texts.pop(slot, None)

    def clear(self) -> None:
        """The child is gone: what its jobs had generated is of no use, since they run again."""
        self._texts.clear()


def _take(slot: int, state: _Text, now: float) -> list[ProgressUpdate]:
    text = "".join(state.waiting)
    state.waiting, state.waiting_length, state.due = [], 0, now + PERIOD_S
    updates = []
    for start in range(0, len(text), LONGEST_PIECE):
        state.sequence += 1
        piece = text[start : start + LONGEST_PIECE]
        updates.append(ProgressUpdate(slot, state.sequence, STAGE, None, "", piece))
    return updates
