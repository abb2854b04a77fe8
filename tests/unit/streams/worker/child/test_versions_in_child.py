"""A real child loads two versions of a processor, reports them, and fails with a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import StartupError
from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import Driver, driving

SEVERAL = "tests.harness.processors.several"


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Versions 1, 2 and 3 are installed, and one whose module is missing."""
    site = installed(tmp_path / "site", "First", SEVERAL, next="Second", cold="Cold", lost="NotThere")
    monkeypatch.setenv("PYTHONPATH", site)
    return tmp_path


def test_every_version_is_loaded_and_warm_before_the_first_job(versions: Path) -> None:
    with driving(versions, rollout="killer=1,2:0") as driver:
        assert driver.supervisor.about["versions"] == {"1": 100.0, "2": 0.0}
        ready = [driver.supervisor.about[name] for name in ("version", "device", "device_reason", "device_fallback")]
        assert ready == ["1", "cpu", "the processor asks for no device", False]
        (first, second, third) = (driver.send("s", model_version=version)[0] for version in (None, "2", "3"))
        driver.until_answered(first, second, third)
        assert driver.said(first) == "s by 1, warm"
        assert driver.said(second) == "s by 2, warm"
        assert [driver.result(held)["model_sha256"] for held in (first, second)] == [None, "cd" * 32]
        assert driver.ending(third) == ("failed", "MODEL_NOT_FOUND", 1)


def test_without_the_setting_there_is_the_plain_version_whatever_else_is_installed(versions: Path) -> None:
    with driving(versions) as driver:
        assert driver.supervisor.about["versions"] == {"1": 100.0}


def test_a_rollback_does_not_depend_on_the_version_that_is_rolled_back(versions: Path) -> None:
    with driving(versions, rollout="killer=1") as driver:
        assert driver.supervisor.about["versions"] == {"1": 100.0}


def failing(folder: Path, rollout: str) -> str:
    driver = Driver(folder, rollout=rollout)
    try:
        with pytest.raises(StartupError) as raised:
            driver.start()
    finally:
        driver.supervisor.stop(2.0)
    return str(raised.value)


def test_a_version_that_is_not_installed_stops_the_worker_with_the_names_of_those_that_are(versions: Path) -> None:
    said = failing(versions, "killer=1,4:10")
    assert "'killer' has no version '4'. Installed: 1 (killer), 3 (killer@cold), " in said
    assert "can't be imported (killer@lost)" in said
    assert "2 (killer@next)" in said
    assert "Change SLUICE_ROLLOUT" in said


def test_a_version_that_does_not_warm_up_stops_the_worker_by_name(versions: Path) -> None:
    said = failing(versions, "killer=1,3:10")
    assert "'killer' (version 3) can't start: RuntimeError: the first kernel failed" in said
    assert "several.py" in said
