"""No caller waits while the registry takes its time; the answer is there when the caller asks again."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from schemas.errors import UnknownSchema, Unreachable
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.sink import schema_fetcher
from streams.sink.schema_fetcher import SchemaFetcher
from tests.harness.waiting import wait_until


class Registry:
    """Answers once `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def schema_by_id(self, schema_id: int) -> str:
        self.asked += 1
        assert self.answers.wait(30)
        if schema_id == 404:
            raise UnknownSchema("There is none.")
        return f"schema {schema_id}"


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def fetcher(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(schema_fetcher, "WAIT_S", 0.01)
    made, loops = SchemaFetcher(cast(Any, registry)), LoopThreads("sink", logs.get("sink"))
    made.start(loops)
    yield made
    registry.answers.set()
    made.stop()
    assert loops.dead == ()


def found(fetcher: SchemaFetcher, schema_id: int) -> str | None:
    try:
        return fetcher.schema_by_id(schema_id)
    except Unreachable:
        return None


def test_a_call_that_is_not_answered_soon_is_answered_later(fetcher: SchemaFetcher, registry: Registry) -> None:
    assert [found(fetcher, number) for number in (1, 1, 2)] == [None, None, None]
    assert registry.asked <= 1
    registry.answers.set()
    wait_until(lambda: found(fetcher, 2), lambda: "no answer")
    assert wait_until(lambda: found(fetcher, 1), lambda: "no answer") == "schema 1"
    assert fetcher._pending == {}


def test_an_unknown_schema_is_an_answer(fetcher: SchemaFetcher, registry: Registry) -> None:
    registry.answers.set()
    with pytest.raises(UnknownSchema):
        wait_until(lambda: found(fetcher, 404), lambda: "no answer")
