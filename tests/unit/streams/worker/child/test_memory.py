"""A real child runs out of memory on its device: real errors of torch, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import Driver, driving

NARROW = "tests.harness.processors.narrow"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Share one child, because it takes long to import torch."""
    folder = tmp_path_factory.mktemp("child")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", installed(folder / "site", "Narrow", NARROW))
        with driving(folder) as made:
            yield made


def test_a_batch_that_does_not_fit_is_halved_and_only_the_job_that_fits_nowhere_fails(driver: Driver) -> None:
    large = driver.send(*[f"L{n}" for n in range(8)])
    driver.until_answered(*large)
    assert {driver.ending(held) for held in large} == {("succeeded", None, 1)}
    assert {driver.said(held) for held in large} == {f"L{n} of 2" for n in range(8)}
    assert driver.supervisor.ceilings == {"1/L": {"max_size": 2, "max_cost": None}}

    (huge,) = driver.send("L, more than this machine has")
    small = driver.send(*[f"s{n}" for n in range(32)])
    later = driver.send("La", "Lb", "Lc", "Ld")
    driver.until_answered(huge, *small, *later)
    assert driver.ending(huge) == ("retry", "OUT_OF_MEMORY", 1)
    assert {driver.ending(held) for held in (*small, *later)} == {("succeeded", None, 1)}
    assert [driver.said(held) for held in later] == ["La of 2", "Lb of 2", "Lc of 2", "Ld of 2"]
    assert driver.supervisor.ceilings == {"1/L": {"max_size": 2, "max_cost": None}}, "small ones are not held to it"
    assert driver.supervisor.restarts == 0


def test_a_bad_job_among_32_fails_with_its_own_message_and_the_31_complete(driver: Driver) -> None:
    jobs = driver.send(*[f"s{n}" if n != 17 else "s17, bad" for n in range(32)])
    driver.until_answered(*jobs)
    endings = [driver.ending(held) for held in jobs]
    assert endings.pop(17) == ("failed", "PROCESSOR_ERROR", 1)
    assert endings == [("succeeded", None, 1)] * 31
    assert driver.result(jobs[17])["error"]["message"].endswith("ValueError: s17, bad among 1")
    assert driver.result(jobs[17])["error"]["type"] == "ValueError"
