"""Joins under any interleaving, repetition and loss of a router's memory submit the same ids."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UndecodableRecord
from streams.router.joins import CaseKey, Joined, Part, Piece, add, dump, load

SOURCES = ("a", "b", "c")
CASE = CaseKey("t", "c", "r")


FEW = settings(max_examples=40)


class Keeper:
    """Keeps parts as the handler does."""

    def __init__(self) -> None:
        self.parts: dict[tuple[CaseKey, str], Part] = {}
        self.done: dict[CaseKey, str] = {}
        self.joined: list[tuple[CaseKey, Joined]] = []

    def add(self, piece: Piece) -> None:
        step = add(piece, SOURCES, lambda source: self.parts.get((piece.case, source)), self.done.get(piece.case))
        if step.joined is not None:
            self.joined.append((piece.case, step.joined))
            self.done[piece.case] = step.joined.key
        if step.part is not None:
            self.parts[piece.case, piece.source] = step.part

    def ids(self) -> set[tuple[CaseKey, str]]:
        return {(case, joined.key) for case, joined in self.joined}


def piece(source: str, number: int = 0, case: CaseKey = CASE) -> Piece:
    return Piece(case, source, Part(f"{source}{number}", (f"{number:05d}", f"{source}{number}", 0), {}))


CASES = [CaseKey("t", "1", "r"), CaseKey("t", "2", "r"), CaseKey("u", "1", "r"), CaseKey("t", "1", "s")]
ONE_EACH = [piece(source, 0, case) for case in CASES for source in SOURCES]


@FEW
@given(st.permutations(ONE_EACH * 2))
def test_one_part_of_each_source_makes_one_job_for_each_case_in_any_sequence(pieces: list[Piece]) -> None:
    keeper = Keeper()
    for one in pieces:
        keeper.add(one)
    assert len(keeper.joined) == len(keeper.ids()) == len(CASES)
    assert keeper.ids() == {(case, expected().key) for case in CASES}


def expected(**numbers: int) -> Joined:
    keeper = Keeper()
    for source in SOURCES:
        keeper.add(piece(source, numbers.get(source, 0)))
    return keeper.joined[-1][1]


@FEW
@given(st.lists(st.tuples(st.sampled_from(SOURCES), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_newest_parts_are_joined_and_no_combination_twice(given_: list[tuple[str, int]]) -> None:
    keeper = Keeper()
    for source, number in given_:
        keeper.add(piece(source, number))
    newest = {source: max((n for s, n in given_ if s == source), default=None) for source in SOURCES}
    keys = [joined.key for _, joined in keeper.joined]
    assert len(keys) == len(set(keys))
    if None in newest.values():
        assert keys == []
    else:
        assert keys[-1] == expected(**{source: int(number or 0) for source, number in newest.items()}).key


@FEW
@given(st.permutations(ONE_EACH), st.lists(st.integers(0, len(ONE_EACH)), max_size=4))
def test_a_router_that_reads_a_batch_again_makes_the_same_jobs(pieces: list[Piece], crashes: list[int]) -> None:
    """A router that dies after it submitted, before it kept the state: the state is older than the jobs."""
    keeper = Keeper()
    for number, one in enumerate(pieces):
        before = (dict(keeper.parts), dict(keeper.done))
        keeper.add(one)
        if number in crashes:
            keeper.parts, keeper.done = before
            keeper.add(one)
    assert keeper.ids() == {(case, expected().key) for case in CASES}


def test_an_older_part_that_comes_late_changes_nothing() -> None:
    keeper = Keeper()
    for one in (piece("a", 2), piece("b"), piece("c"), piece("a", 1)):
        keeper.add(one)
    assert len(keeper.joined) == 1
    assert keeper.parts[CASE, "a"].id == "a2"


def test_a_newer_part_starts_a_new_job_with_another_id() -> None:
    keeper = Keeper()
    for one in (piece("a", 1), piece("b"), piece("c"), piece("a", 2)):
        keeper.add(one)
    assert len(keeper.ids()) == 2


def test_a_source_that_the_rule_lacks_is_no_part() -> None:
    keeper = Keeper()
    keeper.add(piece("z"))
    assert keeper.parts == {}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, min_size=2, max_size=3),
    max_leaves=5,
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_a_part_on_its_way_keeps_the_types_of_its_values(values: dict[str, Any]) -> None:
    made = Piece(CaseKey("t", "Fall Ä\0", "r"), "a", Part("x:0", ("2026", "x", 1), values))
    assert Piece.decode(made.encode()) == made


def test_types_that_json_lacks_are_tagged() -> None:
    values = [b"\x00", Decimal("1.50"), date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC)]
    assert load(dump(values)) == values


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"case": ["a"], "source": "x", "part": {}}', b"\xff"])
def test_bytes_that_are_no_part_are_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        Piece.decode(data)
