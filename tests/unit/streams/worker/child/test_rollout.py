"""SLUICE_ROLLOUT decides which version of a processor runs a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.rollout import EXAMPLE, Rollout, parse_rollout, percentile_of
from schemas.errors import UsageError
from schemas.ids import new_id
from streams.settings import Settings, load_settings

ids = st.uuids().map(str)
percents = st.integers(0, 100).map(float)


def test_the_setting_is_read_as_it_is_documented() -> None:
    found = parse_rollout(EXAMPLE)
    assert found == {"segmentation": Rollout("1.0.0", (("2.0.0", 10.0),)), "embed": Rollout("2")}
    assert found["segmentation"].shares == {"1.0.0": 90.0, "2.0.0": 10.0}


def test_spaces_and_a_last_semicolon_do_no_harm() -> None:
    assert parse_rollout(" echo = 1 , 2 : 0.5 ; ") == {"echo": Rollout("1", (("2", 0.5),))}
    assert parse_rollout("") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo", "does not begin with a processor's name and '='"),
        ("Echo=1", "does not begin with a processor's name and '='"),
        ("echo=", "names no usable version"),
        ("echo=1,", "needs a percentage"),
        ("echo=1,2", "needs a percentage from 0 to 100, as in '2:10'"),
        ("echo=1,2:ten", "needs a percentage"),
        ("echo=1,2:-1", "needs a percentage"),
        ("echo=1,2:nan", "needs a percentage"),
        ("echo=1:50,2:50", "the first version of 'echo' gets what the others leave"),
        ("echo=1,2:60,3:50", "more than 100"),
        ("echo=1,1:10", "names a version twice"),
        ("echo=1;echo=2", "named twice"),
    ],
)
def test_a_setting_without_sense_is_refused_by_name(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_ROLLOUT", text)
    with pytest.raises(UsageError, match="SLUICE_ROLLOUT") as raised:
        load_settings()
    assert says in raised.value.message
    assert raised.value.next_step


def test_the_settings_parse_their_rollouts() -> None:
    assert Settings(rollout="echo=2").rollouts == {"echo": Rollout("2")}


@given(ids, percents)
def test_a_job_stays_with_its_version(job: str, percent: float) -> None:
    rollout = Rollout("1", (("2", percent),))
    assert rollout.version_of(job) == rollout.version_of(job) == ("2" if percentile_of(job) < percent else "1")


@given(ids, st.tuples(percents, percents).map(sorted))
def test_a_job_of_the_canary_stays_there_while_its_share_grows(job: str, shares: list[float]) -> None:
    before, after = (Rollout("1", (("2", share),)).version_of(job) for share in shares)
    assert (before, after) != ("2", "1")


@given(ids)
def test_none_and_all_are_exact(job: str) -> None:
    assert Rollout("1", (("2", 0.0),)).version_of(job) == "1"
    assert Rollout("1", (("2", 100.0),)).version_of(job) == "2"


def test_each_version_gets_about_its_share_of_time_ordered_ids() -> None:
    rollout = Rollout("1", (("2", 10.0), ("3", 25.0)))
    got = [rollout.version_of(new_id()) for _ in range(4000)]
    assert abs(got.count("2") - 400) < 120
    assert abs(got.count("3") - 1000) < 170
