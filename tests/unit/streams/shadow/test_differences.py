"""Outputs are compared field by field, in the way that suits the type of the values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.shadow.differences import LONGEST_TEXT, MOST_ROWS, Comparer, Difference


def files_are_equal(path: str, before: Any, after: Any) -> list[Difference]:
    return [Difference(path, "file", before["sha256"] == after["sha256"])]


def differences(before: Any, after: Any, tolerance: float = 0.0) -> list[Difference]:
    return list(Comparer(files_are_equal, tolerance).compare(before, after))


def only(before: Any, after: Any, tolerance: float = 0.0) -> Difference:
    [found] = differences(before, after, tolerance)
    return found


def test_a_number_differs_absolutely_and_relative_to_the_value_before() -> None:
    found = only({"risk": 0.5}, {"risk": 0.6})
    assert (found.path, found.kind, found.equal, found.before, found.after) == ("risk", "number", False, 0.5, 0.6)
    assert found.absolute == pytest.approx(0.1)
    assert found.relative == pytest.approx(0.2)


def test_a_difference_from_zero_has_no_relative_value() -> None:
    assert (only(0, 3).absolute, only(0, 3).relative) == (3, None)


def test_numbers_within_the_tolerance_are_equal() -> None:
    assert only(100.0, 100.01, tolerance=1e-3).equal
    assert not only(100.0, 100.2, tolerance=1e-3).equal
    assert only([1.0, 2.0], [1.0, 2.0000001], tolerance=1e-3).equal


def test_a_number_that_is_none_equals_itself() -> None:
    assert only(math.nan, math.nan).equal
    assert not only(math.nan, 1.0).equal
    assert not only(math.inf, 1.0).equal


def test_a_field_that_only_one_output_has_is_missing_or_extra() -> None:
    found = differences({"old": 1, "both": 2}, {"both": 2, "new": 3})
    assert [(each.path, each.kind, each.equal) for each in found] == [
        ("old", "missing", False),
        ("both", "number", True),
        ("new", "extra", False),
    ]


def test_another_type_is_a_difference_of_its_own_kind() -> None:
    assert only("3", 3).kind == "type"
    assert only(True, 1).kind == "type"
    assert (only(None, 3).kind, only(None, 3).equal) == ("value", False)


def test_rows_of_a_table_are_compared_one_by_one_and_summarized_by_column() -> None:
    before = {"rows": [{"gene": "A", "score": 1.0}, {"gene": "B", "score": 2.0}, {"gene": "C", "score": 3.0}]}
    after = {"rows": [{"gene": "A", "score": 1.5}, {"gene": "B", "score": 2.0}]}
    found = differences(before, after)
    assert [each.path for each in found if not each.equal] == ["rows[0].score", "rows[2]"]
    assert found[-1].kind == "missing"
    assert {each.column for each in found} == {"rows[].gene", "rows[].score", "rows[]"}


def test_the_rows_after_the_first_thousand_are_compared_as_a_whole() -> None:
    rows = [{"n": n} for n in range(MOST_ROWS + 5)]
    found = differences(rows, [*rows[:-1], {"n": -1}])
    assert [each.path for each in found if not each.equal] == [".rest"]
    assert f"{MOST_ROWS + 5} and {MOST_ROWS + 5} rows" in found[-1].note


def test_a_list_of_numbers_has_its_largest_difference_and_the_cosine() -> None:
    found = only([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])
    assert (found.kind, found.absolute, found.relative) == ("list", 1.0, 0.5)
    assert found.similarity == pytest.approx(3 / math.sqrt(10))
    assert found.note == "1 of 3 elements differ"


def test_lists_of_other_lengths_are_not_similar() -> None:
    found = only([1.0, 2.0], [1.0, 2.0, 3.0])
    assert (found.equal, found.similarity) == (False, 0.0)
    assert found.note == "1 of 3 elements differ; 2 elements before, 3 after"


def test_a_list_of_words_says_what_is_lost_and_new() -> None:
    found = only(["pneumonia", "effusion"], ["effusion", "edema", "mass"])
    assert (found.kind, found.note) == ("list", "1 elements only before, 2 only after")
    assert found.similarity == pytest.approx(0.4)
    assert only(["a", "b"], ["b", "a"]).note == "another order"


def test_texts_are_similar_by_their_words() -> None:
    found = only({"text": "no acute findings seen"}, {"text": "no acute finding seen"})
    assert (found.kind, found.equal, found.similarity) == ("text", False, 0.75)
    assert only("same", "same").similarity == 1.0
    assert only("one  space", "one space").note == "only white space differs"


def test_a_long_text_is_compared_in_a_moment_and_shown_cut_off() -> None:
    before = " ".join(f"word{n % 50}" for n in range(20_000))
    found = only(before, before.replace("word7 ", "word8 "))
    assert found.similarity == pytest.approx(0.98)
    assert len(found.before) < LONGEST_TEXT + 50


def test_claims_are_compared_by_their_files() -> None:
    claim = {"uri": "file:///a", "sha256": "ab", "size": 1, "content_type": "x/y"}
    assert only({"mask": claim}, {"mask": {**claim, "uri": "s3://b"}}).equal
    assert not only({"mask": claim}, {"mask": {**claim, "sha256": "cd"}}).equal


def test_an_empty_list_equals_an_empty_list() -> None:
    assert only([], []).equal
    assert not only([], [{"a": 1}]).equal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_two_outputs_are_equal_ones_have_no_difference_and_others_have_one(before: Any, after: Any) -> None:
    assert all(each.equal and not each.badness for each in differences(before, before))
    found = differences(before, after)
    assert all(0 <= each.badness <= 1 for each in found)
    if repr(before) != repr(after) and before != after:
        assert any(not each.equal for each in found)
