"""Jobs through every door under seeded faults: nothing is lost, doubled or stuck, whatever is killed, frozen or cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.machine import SEED, run

pytestmark = pytest.mark.stack

#: Shorter than `make faults`, which also measures the recovery: here other tests run beside it.
SECONDS = 60.0


def test_nothing_is_lost_and_nothing_counts_twice_under_a_seeded_schedule_of_faults(tmp_path: Path) -> None:
    report = run(tmp_path / "run", SEED, SECONDS)
    assert report.findings.clean, str(report)
    assert report.errors == [], str(report)
    assert {job.door for job in report.evidence.submissions} == {"client", "cli", "foreign", "rows"}
