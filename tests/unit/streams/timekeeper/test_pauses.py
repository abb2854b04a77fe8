"""A pause stays in force longer than the control topic keeps its command, and a resume ends it all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Message

from schemas.commands import PAUSE, REPEATED, RESUME
from schemas.records import EchoInput
from streams import wiring
from streams.testing import Flow
from streams.timekeeper import pauses


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    monkeypatch.setattr(pauses, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(pauses, "YOUNGEST_S", 0.0)
    with Flow("echo", partitions=1) as made:
        yield made


def repeated(flow: Flow) -> list[Message]:
    return [message for message in flow.records("control") if REPEATED in dict(message.headers() or ())]


def actions(flow: Flow) -> list[str]:
    return [wiring.codec(flow.settings).decode(message.value() or b"")["action"] for message in repeated(flow)]


def test_a_pause_is_repeated_as_it_was_requested_and_now_and_then(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow.pause("echo")
    stored = dict(flow.database.commands)
    flow.settle()
    stored = dict(flow.database.commands)
    assert actions(flow) == [PAUSE]
    first = flow.records("control")[0]
    assert repeated(flow)[0].key() == first.key()
    assert repeated(flow)[0].value() == first.value()
    flow.settle()
    assert actions(flow) == [PAUSE], "it is repeated once a day"
    assert flow.database.commands == stored
    for duty in flow._services._duties:
        if isinstance(duty, pauses.Pauses):
            duty._seen["echo"] = duty._seen["echo"]._replace(repeat_at=0.0)  # a day later
    flow.settle()
    assert actions(flow) == [PAUSE, PAUSE]


def test_a_resume_that_meets_a_repeated_pause_wins(flow: Flow) -> None:
    flow.pause("echo")
    flow.settle()
    job = flow.submit("echo", EchoInput("x"))
    flow.resume("echo")
    # The timekeeper has repeated the pause meanwhile, so it lies behind the resume in the topic.
    last = repeated(flow)[0]
    producer = flow.log.producer()
    producer.produce("control", last.value(), last.key(), headers=last.headers())
    flow.settle()
    assert flow.database.commands["echo"].action == RESUME
    assert actions(flow)[-1] == RESUME
    flow.settle()
    assert flow.job(job).state == "COMPLETED"
