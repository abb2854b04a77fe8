"""Finds, over several sessions, the record that makes each of them fail, so that it can be set aside.

A session that fails is followed by one with half its batch, down to one record. Records that pass double the batch again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from confluent_kafka import Message

from streams import logs

log = logs.get("sink")

#: Records of one batch.
BATCH = 500
#: Sessions that a record must end, each time alone in its batch, until it is set aside.
FAILURES = 3

Place = tuple[str, int, int]


class Suspects:
    """Outlives the sessions of a sink. Used by one thread."""

    def __init__(self) -> None:
        #: Records that the next batch may have.
        self.limit = BATCH
        self._trying: Sequence[Message] = ()
        self._failures: Counter[Place] = Counter()
        self._convicted: set[Place] = set()

    @property
    def searching(self) -> bool:
        """True while batches are smaller than usual. No request is held back then, so that a step fails by its own records."""
        return self.limit < BATCH

    def trying(self, messages: Sequence[Message]) -> None:
        """Note the records of a step that begins."""
        self._trying = messages

    def passed(self) -> None:
        """Note that the step has succeeded."""
        if self._trying and self.searching:
            self.limit = min(BATCH, self.limit * 2)
        self._trying = ()

    def failed(self) -> None:
        """Note that the step has failed in a way that nothing foresees. The session ends."""
        if len(self._trying) == 1:
            place = _place(self._trying[0])
            self._failures[place] += 1
            if self._failures[place] >= FAILURES:
                topic, partition, offset = place
                log.error("record_convicted", topic=topic, partition=partition, offset=offset, sessions=FAILURES)
                self._convicted.add(place)
        self.limit = max(1, min(self.limit, len(self._trying) or 1) // 2)
        self._trying = ()

    def is_convicted(self, message: Message) -> bool:
        """True if the record has to be set aside without looking at it."""
        return bool(self._convicted) and _place(message) in self._convicted


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0, message.offset() or 0
