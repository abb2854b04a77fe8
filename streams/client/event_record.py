"""A record of progress, generated text or an outcome, not decoded."""

from __future__ import annotations

from confluent_kafka import Message

from schemas.headers import MODE
from schemas.states import Mode

#: A topic, by a short name, and a partition.
Key = tuple[str, int]
#: The short name of the progress topic; that of an outcomes topic is its processor.
PROGRESS = ".progress"


class EventRecord:
    """`key`: its topic, by short name, and partition."""

    def __init__(self, name: str, message: Message) -> None:
        self.key: Key = (name, int(message.partition() or 0))
        self.offset = int(message.offset() or 0)
        self.value = message.value() or b""
        self.at_ms = int(message.timestamp()[1])
        #: True for progress of a shadow run. The outcome of one says so in its value.
        self.is_shadow = (MODE, Mode.SHADOW.encode()) in (message.headers() or ())
        self.job_id = (message.key() or b"").decode("utf-8", "replace").partition(":")[0]

    @property
    def is_outcome(self) -> bool:
        return self.key[0] != PROGRESS

    @property
    def size(self) -> int:
        return len(self.value)
