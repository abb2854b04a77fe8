"""Tests of `digits`: the processor alone, and a whole job without Kafka (docs/testing.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from schemas.errors import InvalidInput
from streams.testing import Flow

from digits.contract import DIGITS, DigitsInput
from digits.model import BadSheet, read_sheet
from digits.processor import Digits

SHEET = Path(__file__).parent / "sheet.csv"


def test_a_sheet_is_read() -> None:
    with Flow(Digits, contract=DIGITS) as flow:
        job_id = flow.submit("digits", DigitsInput(flow.upload(SHEET)))
        flow.settle()
        output = flow.job(job_id).output
    assert output is not None
    assert output["digits"] == "49089112345678901234"  # one is wrong: the sixth is an 8
    assert len(output["probabilities"]) == 20


def test_a_file_that_is_no_sheet_fails_its_job(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("1,2,3\n")
    with Flow(Digits, contract=DIGITS) as flow:
        job_id = flow.submit("digits", DigitsInput(flow.upload(sheet)))
        flow.settle()
        assert flow.job(job_id).state == "FAILED"
        assert flow.job(job_id).error.code == InvalidInput.code


@pytest.mark.parametrize("text", ["", "1,2\n", ",".join(["17"] * 64), ",".join(["nan"] * 64), "\x80", "a"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(text, encoding="latin-1")
    with pytest.raises(BadSheet):
        read_sheet(sheet)
