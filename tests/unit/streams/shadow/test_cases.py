"""Cases of a shadow run: what is compared, what counts as different, and the figures over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.shadow_store import RunEnding
from schemas.errors import ConnectionFailed
from streams.shadow.cases import CaseResult, ShadowCase
from streams.shadow.differences import Comparer
from streams.shadow.files import FileComparison
from tests.harness.volumes import write_nifti
from tests.unit.streams.shadow.kit import ending, pair, report_of, store_in, stored


def only(folder: Path, before: RunEnding, after: RunEnding) -> ShadowCase:
    [case] = report_of(folder, pair(before, after)).cases
    return case


def test_equal_outputs_are_equal_and_others_different(tmp_path: Path) -> None:
    assert only(tmp_path, ending({"a": 1}), ending({"a": 1})).result is CaseResult.EQUAL
    assert only(tmp_path, ending({"a": 1}), ending({"a": 2})).result is CaseResult.DIFFERENT


def test_runs_that_end_in_other_ways_are_not_compared_field_by_field(tmp_path: Path) -> None:
    case = only(tmp_path, ending({"a": 1}), ending(state="FAILED", code="MODEL_NOT_FOUND"))
    assert (case.result, case.differences) == (CaseResult.ENDED_DIFFERENTLY, ())
    failed = ending(state="FAILED", code="INVALID_INPUT")
    assert only(tmp_path, failed, failed).result is CaseResult.EQUAL
    assert only(tmp_path, failed, ending(state="FAILED", code="TIMEOUT_ERROR")).result is CaseResult.ENDED_DIFFERENTLY


def test_a_shadow_run_without_an_outcome_is_open_and_one_that_never_runs_is_not_compared(tmp_path: Path) -> None:
    report = report_of(
        tmp_path,
        pair(ending({}), None, 1),
        pair(ending({}), None, 2, state="parked", reason="replayed too often"),
        pair(None, ending({}), 3),
        pair(ending({}), ending({}), 4),
    )
    found = {case.pair.n: (str(case.result), case.reason) for case in report.cases}
    assert found == {
        1: ("open", ""),
        2: ("not compared", "replayed too often"),
        3: ("not compared", "the job has no outcome to compare with"),
        4: ("equal", ""),
    }
    assert not report.summary.complete


def test_the_worst_case_comes_first(tmp_path: Path) -> None:
    report = report_of(
        tmp_path,
        pair(ending({"a": 1.0}), ending({"a": 1.1}), 1),
        pair(ending({"a": 1.0}), ending({"a": 1.0}), 2),
        pair(ending({"a": 1.0}), ending(state="FAILED", code="OUT_OF_MEMORY"), 3),
        pair(ending({"a": 1.0}), ending({"a": 1.9}), 4),
    )
    assert [case.pair.n for case in report.cases] == [3, 4, 1, 2]


def test_the_figures_are_over_all_cases(tmp_path: Path) -> None:
    outputs = [(1.0, 1.0), (2.0, 3.0), (4.0, 4.5)]
    report = report_of(
        tmp_path,
        *(
            pair(ending({"a": one, "b": "x"}, run_ms=10), ending({"a": two, "b": "x"}, run_ms=30), n, job_id=f"j{n}")
            for n, (one, two) in enumerate(outputs)
        ),
    )
    summary = report.summary
    assert (summary.cases, summary.results[CaseResult.DIFFERENT], summary.results[CaseResult.EQUAL]) == (3, 2, 1)
    assert (summary.run_ms, summary.states) == ((10, 30), {("COMPLETED", "COMPLETED"): 3})
    number, text = summary.fields
    assert (number.path, number.compared, number.equal) == ("a", 3, 1)
    assert (number.median_absolute, number.worst_absolute, number.worst_relative) == (0.5, 1.0, 0.5)
    assert (number.worst_job, text.worst_job) == ("j1", None)


def test_masks_are_compared_by_their_voxels(tmp_path: Path) -> None:
    masks = []
    for n in (4, 5):
        data = np.zeros((10, 10, 10), dtype=np.uint8)
        data[2:6, 2:6, 2 : 2 + n] = 1
        masks.append(stored(tmp_path, write_nifti(tmp_path / "m.nii.gz", data).read_bytes(), "application/x-nifti"))
    report = report_of(tmp_path, pair(ending({"mask": masks[0]}), ending({"mask": masks[1]})))
    [difference] = report.cases[0].differences
    assert difference.kind == "mask"
    assert difference.similarity == pytest.approx(2 * 64 / (64 + 80))
    assert difference.mask is not None
    assert difference.mask.change_ml == pytest.approx(0.016)
    [column] = report.summary.fields
    assert column.worst_change_ml == pytest.approx(0.016)
    assert column.worst_similarity == difference.similarity


def test_files_are_compared_by_their_content_type(tmp_path: Path) -> None:
    one, two = (stored(tmp_path, text, "text/plain") for text in (b"no acute findings", b"no findings"))
    table, other = (stored(tmp_path, text, "application/json") for text in (b'{"risk": 1}', b'{"risk": 2}'))
    raw, bare = (stored(tmp_path, text, "application/pdf") for text in (b"a", b"b"))
    before, after = {"a": one, "b": table, "c": raw}, {"a": two, "b": other, "c": bare}
    text, number, file = only(tmp_path, ending(before), ending(after)).differences
    assert (text.path, text.kind, text.similarity) == ("a", "text", 0.8)
    assert (number.path, number.kind, number.absolute) == ("b.risk", "number", 1)
    assert (file.path, file.kind, file.equal) == ("c", "file", False)


def test_files_that_only_the_refs_name_are_compared_too(tmp_path: Path) -> None:
    one, two = (stored(tmp_path, text, "text/plain") for text in (b"a b c", b"a b d"))
    [difference] = only(tmp_path, ending({}, refs=[one]), ending({}, refs=[two])).differences
    assert (difference.path, difference.kind, difference.equal) == ("files[0]", "text", False)


def test_a_file_that_is_gone_is_a_difference_and_stops_nothing(tmp_path: Path) -> None:
    there = stored(tmp_path, b"a", "text/plain")
    gone = {**there, "sha256": "0" * 64, "uri": store_in(tmp_path).uri_of("0" * 64)}
    unknown, number = only(tmp_path, ending({"f": there, "n": 1}), ending({"f": gone, "n": 1})).differences
    assert (unknown.kind, unknown.equal, number.equal) == ("unknown", False, True)
    assert unknown.note


def test_an_object_store_that_does_not_answer_stops_the_report() -> None:
    class Away:
        def fetch(self, *_: object) -> Path:
            raise ConnectionFailed("The object store does not answer.")

    claim = {"uri": "s3://a", "sha256": "a", "size": 1, "content_type": "text/plain"}
    store: Any = Away()
    comparer = Comparer(FileComparison(store).compare)
    with pytest.raises(ConnectionFailed):
        list(comparer.compare({"f": claim}, {"f": {**claim, "sha256": "b"}}))
