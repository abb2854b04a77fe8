"""A service's health follows from its loops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Unreachable
from streams.health.loop_health import LoopHealth, tracked
from streams.health.report import SLOW_S, STANDBY_S, evaluate, without_share


class Store:
    """A dependency that answers, or does not."""

    size = 7

    def __init__(self) -> None:
        self.away = False
        self.seen: list[str | None] = []
        self.loop_health: LoopHealth | None = None

    def ask(self, what: str, *, twice: bool = False) -> str:
        self.seen.append(self.loop_health.waits_for if self.loop_health else None)
        if self.away:
            raise Unreachable("Postgres did not answer while it was asked.")
        return what * (2 if twice else 1)


def loop(*, silent: float = 0.0) -> LoopHealth:
    loop_health = LoopHealth("sink's loop", patience_s=60.0)
    loop_health.at = 1000.0 - silent
    return loop_health


def test_a_loop_that_turns_is_alive_and_ready() -> None:
    health = evaluate([loop(silent=59)], 1000.0, details={"partitions": 2})
    assert (health.alive, health.ready, health.reasons) == (True, True, ())
    assert health.details == {"partitions": 2}


def test_a_loop_that_has_not_turned_for_long_is_hung_and_is_named() -> None:
    health = evaluate([loop(silent=75)], 1000.0)
    assert (health.alive, health.ready) == (False, False)
    assert health.reasons == ("the sink's loop has not turned for 75 s",)


def test_a_loop_that_waits_for_a_dependency_is_alive_but_not_ready_however_long_it_waits() -> None:
    waiting = loop(silent=500)
    waiting.waits_for, waiting.waits_since = "Postgres", 500.0
    health = evaluate([waiting], 1000.0)
    assert (health.alive, health.ready) == (True, False)
    assert health.reasons == ("Postgres has not answered the sink's loop for 500 s",)


def test_a_slow_call_to_a_dependency_leaves_the_service_ready() -> None:
    waiting = loop()
    waiting.waits_for, waiting.waits_since = "Postgres", 1000.0 - SLOW_S
    assert evaluate([waiting], 1000.0).ready


def test_a_missing_part_makes_not_ready_and_a_dead_part_not_alive() -> None:
    missing = evaluate([loop()], 1000.0, missing=[None, "Kafka does not answer"])
    assert (missing.alive, missing.ready, missing.reasons) == (True, False, ("Kafka does not answer",))
    dead = evaluate([loop()], 1000.0, dead=[None, "a thread has ended"])
    assert (dead.alive, dead.ready, dead.reasons) == (False, False, ("a thread has ended",))


@given(
    silent=st.lists(st.floats(0, 200), max_size=4),
    missing=st.lists(st.none() | st.just("m"), max_size=3),
    dead=st.lists(st.none() | st.just("d"), max_size=3),
)
def test_ready_means_alive_and_every_no_has_a_reason(
    silent: list[float], missing: list[str | None], dead: list[str | None]
) -> None:
    health = evaluate([loop(silent=each) for each in silent], 1000.0, missing=missing, dead=dead)
    assert health.alive or not health.ready
    assert health.ready == (not health.reasons)
    assert health.alive == (all(each <= 60 for each in silent) and not any(dead))


def test_a_tracked_object_answers_as_before_and_shows_its_calls_as_waits() -> None:
    store, health = Store(), loop()
    store.loop_health = health
    seen = tracked(store, health, "Postgres")
    assert (seen.ask("a"), seen.ask("b", twice=True), seen.size) == ("a", "bb", 7)
    assert store.seen == ["Postgres", "Postgres"]
    assert health.waits_for is None
    assert health.at > 1000.0 - 60


def test_a_fault_lasts_until_a_call_succeeds() -> None:
    store, health = Store(), loop()
    seen = tracked(store, health, "Postgres")
    store.away = True
    with pytest.raises(Unreachable):
        seen.ask("a")
    assert evaluate([health], health.at).reasons == ("Postgres did not answer while it was asked.",)
    store.away = False
    seen.ask("a")
    assert evaluate([health], health.at).ready


@pytest.mark.parametrize(
    ("partitions", "joined_s", "reason"),
    [
        (0, None, "echo has not joined its group"),
        (0, 1.0, "echo waits for its share of the partitions"),
        (0, STANDBY_S, None),
        (3, 0.1, None),
    ],
)
def test_a_member_without_a_share_is_a_newcomer_and_later_a_standby(
    partitions: int, joined_s: float | None, reason: str | None
) -> None:
    assert without_share("echo", partitions, joined_s) == reason
