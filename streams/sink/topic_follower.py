"""Follows one topic on a thread of its own, beside the sink's loop: neither waits for the other's records."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Generic, Protocol, TypeVar

from confluent_kafka import KafkaException, Message, TopicPartition

from schemas.errors import SluiceError
from streams import logs
from streams.health.loop_health import LoopHealth, tracked
from streams.health.loop_threads import LoopThreads, frames_of
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.settings import Settings

log = logs.get("sink")

#: Messages handled at once, at most.
BATCH = 500
#: Seconds that one turn waits for its first message.
POLL_S = 0.2
#: Seconds between an error and the next consumer.
RESTART_S = 1.0


class Closable(Protocol):
    def close(self) -> object: ...


Store = TypeVar("Store", bound=Closable)


class TopicFollower(Generic[Store]):
    """Passes each batch of messages to `handle`, then commits it. After an error it opens a new consumer and store.

    `handle` is called at least every POLL_S, also with no messages. Messages that carry an error are left out: such an
    error is temporary. `reset` is where a group without committed offsets begins: earliest or latest.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        topic: str,
        reset: str,
        handle: Callable[[Sequence[Message], Store], None],
        store: Callable[[], Store],
    ) -> None:
        self._settings = settings
        self._name = name
        self._topic = topic
        self._reset = reset
        self._handle = handle
        self._store = store
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.loop_health = LoopHealth(f"{name} loop", settings.health_patience_s)

    def start(self, loops: LoopThreads) -> None:
        self._thread = loops.new(self._name, self._run, self._stop.is_set)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def subscribe(self) -> LogConsumer:
        """Return a new consumer of the follower's group that reads the topic."""
        group = f"{self._settings.topic_prefix}sink-{self._name}"
        consumer = kafka.consumer(self._settings, group, **{"auto.offset.reset": self._reset})
        consumer.subscribe([self._topic])
        return consumer

    def turn(self, consumer: LogConsumer, store: Store) -> None:
        """Handle and commit the messages that have come. Raises Unreachable."""
        messages = [message for message in poll_batch(consumer, BATCH, POLL_S) if message.error() is None]
        self._handle(messages, store)
        if messages:
            consumer.commit(offsets=next_offsets(messages), asynchronous=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(self.subscribe()) as consumer, closing(self._store()) as store:
                    watched = tracked(store, self.loop_health, "Postgres")
                    while not self._stop.is_set():
                        self.loop_health.beat()
                        self.turn(consumer, watched)
            except (SluiceError, KafkaException) as error:
                log.warning("session_restarted", component=self._name, reason=str(error))
                self._stop.wait(RESTART_S)
            except Exception as error:  # noqa: BLE001 — if this thread ended, the topic would be read no more
                log.error(
                    "session_restarted", component=self._name, reason=type(error).__name__, frames=frames_of(error)
                )
                self._stop.wait(RESTART_S)


def next_offsets(messages: Iterable[Message]) -> list[TopicPartition]:
    """Return the offset to commit for each partition: the one after its last message."""
    ends = {(message.topic() or "", message.partition() or 0): (message.offset() or 0) + 1 for message in messages}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()]
