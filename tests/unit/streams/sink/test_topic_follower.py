"""A topic follower handles and commits a topic's messages, and starts again after an error."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from confluent_kafka import Message
from structlog.testing import capture_logs

from schemas.errors import Unreachable
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.settings import Settings
from streams.sink.topic_follower import TopicFollower, log

PATIENCE_S = 30.0


class ClosableStore:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Recorder:
    """A handler that keeps the values, and raises `errors` first, one for each batch."""

    def __init__(self, *errors: Exception) -> None:
        self.values: list[bytes | None] = []
        self.stores: list[ClosableStore] = []
        self.complete = threading.Event()
        self._errors = list(errors)

    def open_store(self) -> ClosableStore:
        self.stores.append(ClosableStore())
        return self.stores[-1]

    def handle(self, messages: Sequence[Message], store: ClosableStore) -> None:
        if messages and self._errors:
            raise self._errors.pop(0)
        self.values += [message.value() for message in messages]
        if len(self.values) == 2:
            self.complete.set()


def follower(settings: Settings, recorder: Recorder) -> TopicFollower[ClosableStore]:
    return TopicFollower(
        settings,
        "control",
        topic=settings.topics.control,
        reset="earliest",
        handle=recorder.handle,
        store=recorder.open_store,
    )


def produce(settings: Settings, *values: bytes) -> None:
    producer = kafka.producer(settings)
    for value in values:
        producer.produce(settings.topics.control, value, value)
    assert producer.flush(10) == 0


@pytest.mark.parametrize("error", [Unreachable("Postgres is unreachable."), ValueError("a bug")], ids=type)
def test_after_an_error_the_same_messages_are_read_again_with_a_new_store(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("streams.sink.topic_follower.RESTART_S", 0.0)
    produce(settings, b"first", b"second")
    recorder = Recorder(error)
    followed = follower(settings, recorder)
    loops = LoopThreads("sink", log)
    with capture_logs() as lines:
        followed.start(loops)
        assert recorder.complete.wait(PATIENCE_S)
        followed.stop()
    assert sorted(filter(None, recorder.values)) == [b"first", b"second"]
    assert [store.closed for store in recorder.stores] == [True, True]
    assert [(line["event"], line["component"]) for line in lines] == [("session_restarted", "control")]
    assert loops.dead == ()


def test_handled_messages_are_committed_so_that_the_next_follower_does_not_read_them(settings: Settings) -> None:
    produce(settings, b"first", b"second")
    one, next_one = Recorder(), Recorder()
    for recorder in (one, next_one):
        followed = follower(settings, recorder)
        consumer, store = followed.subscribe(), recorder.open_store()
        for _ in range(5):
            followed.turn(consumer, store)
        consumer.close()
    assert sorted(filter(None, one.values)) == [b"first", b"second"]
    assert next_one.values == []
