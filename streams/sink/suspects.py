"""Finds, over several sessions, the record that makes each of them fail, so that it can be set aside.

All records of a step that fails in a way that nothing foresees are suspected. The next session handles half of them at a time;
those that pass are cleared, until one record fails alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from confluent_kafka import Message

from streams import logs

log = logs.get("sink")

#: Records of one batch.
BATCH = 500
#: Sessions that a record must end, each time alone, until it is set aside.
FAILURES = 3

Place = tuple[str, int, int]


class Suspects:
    """Outlives the sessions of a sink. Used by one thread."""

    def __init__(self) -> None:
        self._suspected: set[Place] = set()
        self._together = BATCH
        self._trying: Sequence[Message] = ()
        self._failures: Counter[Place] = Counter()
        self._convicted: set[Place] = set()
        #: True after a failure until its records have passed. No record is held back then: a step fails by its own.
        self.searching = False

    def split(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Split messages without changing their order, so that suspected ones are apart from others, and half of them apart."""
        part: list[Message] = []
        suspected = False
        for message in messages:
            suspect = _place(message) in self._suspected
            if part and (suspect != suspected or (suspect and len(part) >= self._together)):
                yield part
                part = []
            suspected = suspect
            part.append(message)
        yield part

    def trying(self, messages: Sequence[Message]) -> None:
        """Note the records of a step that begins."""
        self._trying = messages

    def joined_by(self, messages: Iterable[Message]) -> None:
        """Note records that were held back before and are handled in this step, too."""
        self._trying = [*self._trying, *messages]

    def passed(self) -> None:
        """Note that the step has succeeded."""
        if self.searching and self._trying:
            self._suspected -= {_place(message) for message in self._trying}
            self.searching = bool(self._suspected)
        self._trying = ()

    def failed(self) -> None:
        """Note that the step has failed in a way that nothing foresees. The session ends."""
        places = {_place(message) for message in self._trying}
        self._suspected = (places & self._suspected) or places
        self._together = max(1, len(self._suspected) // 2)
        self._trying = ()
        self.searching = True
        if len(places) == 1:
            self._failed_alone(*places)

    def is_convicted(self, message: Message) -> bool:
        """True if the record has to be set aside without looking at it."""
        return bool(self._convicted) and _place(message) in self._convicted

    def _failed_alone(self, place: Place) -> None:
        self._failures[place] += 1
        if self._failures[place] >= FAILURES and place not in self._convicted:
            topic, partition, offset = place
            log.error("record_convicted", topic=topic, partition=partition, offset=offset, sessions=FAILURES)
            self._convicted.add(place)


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0, message.offset() or 0
