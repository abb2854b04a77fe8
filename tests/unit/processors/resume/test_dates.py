"""Dates in the notations that people write."""

from __future__ import annotations

import pytest

from processors.resume.dates import only_dates, spans_of_time, without_dates


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2016.02 - 2018.03", "2016-02", "2018-03"),
        ("2016년 2월 ~ 2018년 3월", "2016-02", "2018-03"),
        ("2018년 3월부터 2019년 2월까지", "2018-03", "2019-02"),
        ("Feb 2016 – Mar 2018", "2016-02", "2018-03"),
        ("February, 2016 to March, 2018", "2016-02", "2018-03"),
        ("2016/02 - 2018/03", "2016-02", "2018-03"),
        ("2016-02-03 ~ 2018-03-01", "2016-02", "2018-03"),
        ("2016.03.02.~2020.02.21.", "2016-03", "2020-02"),
        ("02/2016 – 05/2018", "2016-02", "2018-05"),
        ("Mar – Aug 2016", "2016-03", "2016-08"),
        ("2016.03 ~ 08", "2016-03", "2016-08"),
        ("2016–18", "2016", "2018"),
        ("'16.02 ~ '18.03", "2016-02", "2018-03"),
    ],
)
def test_a_span_of_time_is_read_in_many_notations(text: str, start: str, end: str) -> None:
    [when] = spans_of_time(text)
    assert (when.start, when.end, when.current, when.single) == (start, end, False, False)


@pytest.mark.parametrize(
    "text",
    ["Feb 2016 – Present", "2016/02 - now", "2016.02 ~ 현재", "2016년 2월 ~ 재직 중", "since Feb 2016", "2016.02 ~"],
)
def test_a_span_that_goes_on_has_no_end(text: str) -> None:
    [when] = spans_of_time(text)
    assert (when.start, when.end, when.current) == ("2016-02", None, True)


def test_one_date_alone_is_marked_as_such() -> None:
    [when] = spans_of_time("Graduated May 2014")
    assert (when.start, when.single) == ("2014-05", True)


@pytest.mark.parametrize("text", ["3.8/4.0", "1,234 users", "010-1234-5678", "ISO 9001", "99.95 %"])
def test_other_numbers_are_no_dates(text: str) -> None:
    assert spans_of_time(text) == []


def test_a_text_without_its_dates_keeps_the_rest() -> None:
    assert without_dates("Acme Corp, 2016 – 2018 (2 years 3 months)") == "Acme Corp"
    assert only_dates("2015. 03 – 2019. 02 (4년)")
    assert not only_dates("Acme 2016")
