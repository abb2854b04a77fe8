"""Jobs through every door under seeded faults: nothing lost, nothing doubled, nothing stuck, and soon back to speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.machine import SECONDS, SEED, run

pytestmark = pytest.mark.stack


def test_nothing_is_lost_and_nothing_counts_twice_under_a_seeded_schedule_of_faults(tmp_path: Path) -> None:
    report = run(tmp_path / "run", SEED, SECONDS)
    assert report.passed, str(report)
    assert {job.door for job in report.evidence.submissions} == {"client", "cli", "foreign", "rows"}
