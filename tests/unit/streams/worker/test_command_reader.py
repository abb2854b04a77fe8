"""The worker reads the control topic's records, good and bad."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Message

from schemas.avsc import self_contained
from schemas.codec import Codec
from schemas.commands import job_key, processor_key
from schemas.records import Control
from schemas.registry import MemoryRegistry
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.command_state import CommandState
from streams.worker.commands import CommandReader

REGISTRY = MemoryRegistry()
COMMAND = Codec(REGISTRY).typed(Control, "control-value", self_contained("Control"), register=True)
LIST = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"], "default": None}]}
DEEP = struct.pack(">bI", 0, REGISTRY.register("l", json.dumps(LIST))) + b"\x02" * 200_000 + b"\x00"
JOB = "01890000-0000-7000-8000-000000000001"


class Topic:
    """Stands in for the consumer: returns its messages once."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)

    def poll(self, timeout: float) -> Message | None:
        return self._messages.pop(0) if self._messages else None

    def consume(self, count: int, timeout: float) -> list[Message]:
        taken, self._messages = self._messages, []
        return taken


def after(*records: tuple[Any, Any]) -> CommandState:
    state = CommandState()
    messages = [
        Message(topic="control", partition=0, offset=n, key=key, value=value) for n, (key, value) in enumerate(records)
    ]
    consumer: Any = Topic(*messages)
    CommandReader(Settings(), Codec(REGISTRY), state, LoopThreads("worker", None))._take_in(consumer)
    return state


def paused(state: CommandState) -> bool:
    pause = state.pause_state("echo")
    assert pause is not None
    return pause.paused


def command(action: str) -> bytes:
    return COMMAND.encode(Control(action, datetime.now(UTC), "me", processor="echo"))


ECHO = processor_key("echo")
PAUSED = (ECHO, command("pause"))


def test_pause_and_resume_are_followed() -> None:
    assert paused(after(PAUSED))
    assert paused(after(PAUSED, (ECHO, command("resume")))) is False
    assert paused(after(PAUSED, (ECHO, None))) is False


@pytest.mark.parametrize(
    "value",
    [command("cancel"), command("dance"), DEEP, b"garbage", b""],
    ids=["cancel", "unknown word", "deep", "garbage", "empty"],
)
def test_a_record_that_is_neither_pause_nor_resume_changes_nothing(value: bytes) -> None:
    assert paused(after(PAUSED, (ECHO, value)))


def test_a_record_that_breaks_the_reader_is_skipped() -> None:
    assert paused(after((17, b"x"), (None, None), PAUSED))


def test_a_cancel_is_known_by_its_key_alone() -> None:
    assert after((job_key(JOB, 0), DEEP)).is_cancelled(job_key(JOB, 0))
