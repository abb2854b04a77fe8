"""Reads records of `dead-letters` from the log by their places, and the originals of those without a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from connectors.dead_letter_store import DeadLetter, LetterPlace
from schemas.records import Coordinates
from streams.settings import Settings
from streams.timekeeper.redrive import Letter, letter_of
from streams.timekeeper.requests import RequestReader

#: Places that are read at once.
BATCH = 500


class LetterReader:
    """A context manager; for one thread. Joins no group. `on_wait` is called at least once a second while it reads."""

    def __init__(self, settings: Settings, on_wait: Callable[[], None] = lambda: None) -> None:
        self._reader = RequestReader(settings, on_wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def read(self, letters: Sequence[DeadLetter]) -> Iterator[tuple[DeadLetter, Letter | None]]:
        """Yield each dead letter with its record; None if the log has it no more. Raises Unreachable."""
        for begin in range(0, len(letters), BATCH):
            part = letters[begin : begin + BATCH]
            found = self._records([Coordinates(one.topic, one.partition, one.offset) for one in part])
            yield from ((one, found.get(one.place)) for one in part)

    def _records(self, places: Sequence[Coordinates]) -> dict[LetterPlace, Letter]:
        found: dict[LetterPlace, Letter] = {}
        left = list(places)
        while left:
            read = self._reader.read(left)
            letters = [letter_of(message) for message in read.found.values() if message is not None]
            found |= {LetterPlace(one.place.partition, one.place.offset): self._whole(one) for one in letters}
            left = [place for place in left if read.is_left(place)]
        return found

    def _whole(self, letter: Letter) -> Letter:
        """Return the letter, with the value of its original if it was published without one."""
        origin = letter.origin
        if letter.value is not None or origin is None:
            return letter
        original = self._reader.read([origin]).get(origin)
        return letter if original is None else letter._replace(value=original.value())
