"""Whatever fails and whenever a sink stops: no stored offset passes a record that is not stored; each job gets its outcome."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from connectors.memory import MemoryDatabase
from connectors.sink_store import Fenced
from schemas.errors import Unreachable
from schemas.states import Lane
from streams import wiring
from streams.log.memory import MemoryLog
from streams.log.reconnect import Stopped
from streams.settings import Settings
from streams.sink import waiting
from streams.sink.batching import EventBatches
from streams.sink.session import Session
from tests.harness.sink_kit import HookedStore, job, open_sink, outcomes, twin_settings, write_results

#: Of each call to the outside: nothing happens, or one of these, before or after its effect.
FAULTS = st.sampled_from([None] * 6 + [Unreachable("away"), RuntimeError("a bug"), Stopped()])
ACTION = st.sampled_from(["write", "step", "step", "settle", "stop", "die"])


class Faults:
    """Raises what a schedule says, call by call."""

    def __init__(self, schedule: list[tuple[Any, bool]]) -> None:
        self._schedule = schedule[::-1]
        self._after: Any = None

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        error, after = self._schedule.pop() if self._schedule else (None, False)
        self._after = error if after else None
        if error is not None and not after:
            raise error

    def after(self, name: str, args: tuple[Any, ...]) -> None:
        if self._after is not None:
            raise self._after


class Registry:
    """Does not answer for some results, `away` times in all."""

    def __init__(self, away: int, seed: int) -> None:
        self.away = away
        self._chance = random.Random(seed)

    @contextmanager
    def answering_rarely(self) -> Iterator[None]:
        original = EventBatches.decode

        def decode(batches: EventBatches, message: Any) -> Any:
            if self.away and self._chance.random() < 0.3:
                self.away -= 1
                raise Unreachable("The registry is away.")
            return original(batches, message)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EventBatches, "decode", decode)
            patch.setattr(waiting, "RETRY_S", 0.0)
            yield


def passed_but_not_stored(settings: Settings) -> list[tuple[str, int, int]]:
    database, log = MemoryDatabase.at(settings.database), MemoryLog.at(settings.bootstrap)
    assert database is not None
    assert log is not None
    stored = {position for _, position in database.history}
    found = []
    for (_, topic_id, partition), offsets in database.offsets.items():
        name = database.topics[topic_id]
        for message in log.records(name):
            offset = message.offset() or 0
            if message.partition() == partition and offset < offsets.next_offset:
                found += [(name, partition, offset)] if (topic_id, partition, offset) not in stored else []
    return found


def published_but_lost(settings: Settings, values: list[bytes]) -> list[tuple[int, int]]:
    """Return the places below `published` whose outcome is not in the log."""
    database, log = MemoryDatabase.at(settings.database), MemoryLog.at(settings.bootstrap)
    assert database is not None
    assert log is not None
    there, found = set(outcomes(settings)), []
    for (_, topic_id, partition), offsets in database.offsets.items():
        if database.topics[topic_id] != settings.topics.results("echo"):
            continue
        for message in log.records(settings.topics.results("echo")):
            below = message.partition() == partition and (message.offset() or 0) < offsets.published
            if below and message.value() in values and message.value() not in there:
                found.append((partition, message.offset() or 0))
    return found


class Run:
    """A sink that is opened when it is needed, and what was written for it to read."""

    def __init__(self, installation: Settings, faults: Faults) -> None:
        self.values: list[bytes] = []
        self.either: list[list[bytes]] = []
        self._installation = installation
        self._faults = faults
        self._sink: Session | None = None

    def do(self, action: str) -> None:
        try:
            getattr(self, action)()
        except (Unreachable, Fenced, RuntimeError, Stopped):
            self.close()

    def write(self) -> None:
        twice, bulk = job(), Lane.BULK.value  # results of the bulk lane wait for others
        self.values += write_results(self._installation, [job(), job(lane=bulk), job(lane=bulk), job()])
        # One of these two becomes the outcome; which of them the registry may decide.
        self.either.append(write_results(self._installation, [twice, replace(twice, input_sha256="b" * 64)]))

    def step(self) -> None:
        self._opened().step()

    def settle(self) -> None:
        self._opened().settle()

    def stop(self) -> None:
        self.settle()
        self.close()

    def die(self) -> None:
        consumer: Any = self._opened()._consumer
        consumer.die()
        self._sink = None

    def close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def _opened(self) -> Session:
        if self._sink is None:
            store = HookedStore(wiring.sink_store(self._installation), self._faults.before, self._faults.after)
            self._sink = open_sink(self._installation, store)
        return self._sink


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    actions=st.lists(ACTION, min_size=3, max_size=14),
    schedule=st.lists(st.tuples(FAULTS, st.booleans()), max_size=25),
    away=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_a_position_passes_only_what_is_durable(
    actions: list[str], schedule: list[tuple[Any, bool]], away: int, seed: int
) -> None:
    registry = Registry(away, seed)
    with tempfile.TemporaryDirectory() as home, twin_settings(Path(home)) as made, registry.answering_rarely():
        # Nothing waits in place: a single try.
        installation = made.model_copy(update={"kafka_config": {"max.poll.interval.ms": 0}})
        run = Run(installation, Faults(schedule))
        for action in [*actions, "write", "close"]:
            run.do(action)
            assert passed_but_not_stored(installation) == []
            assert published_but_lost(installation, run.values) == []
        registry.away = 0
        last = open_sink(installation)
        for _ in range(4):
            last.step()
        last.settle()
        last.close()
        assert passed_but_not_stored(installation) == []
        assert set(run.values) <= set(outcomes(installation))
        assert [len(set(pair) & set(outcomes(installation))) for pair in run.either] == [1] * len(run.either)
