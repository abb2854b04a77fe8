"""Jobs through every door under seeded faults: nothing is lost, doubled or stuck, whatever is killed, frozen or cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.machine import SEED, run

pytestmark = pytest.mark.stack

#: Shorter than `make faults`, which also measures the recovery: here other tests run beside it.
SECONDS = 45.0
AFTER_S = 5.0


def test_nothing_is_lost_and_nothing_counts_twice_under_a_seeded_schedule_of_faults(tmp_path: Path) -> None:
    print(f"The journals and logs of this run are in {tmp_path}")
    report = run(tmp_path / "run", SEED, SECONDS, after_s=AFTER_S)
    assert report.findings.clean, str(report)
    assert report.errors == [], str(report)
    assert {job.door for job in report.evidence.submissions} == {"client", "cli", "foreign", "rows"}
