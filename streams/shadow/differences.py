"""Compares two outputs of one processor, field by field. Pure, but for files, which `files` compares.

The type of the values decides how they are compared: numbers by their difference, texts by similarity, lists of numbers element
by element, tables (lists of records) row by row, claims by the content of their files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

#: Rows of a table that are compared; more are only counted.
MOST_ROWS = 1000
#: Characters of a text, and elements of a list, that a difference keeps to show.
LONGEST_TEXT, LONGEST_LIST = 2000, 12
#: Words of a text, and elements of a list, that are compared.
MOST_WORDS = 20_000
#: Deeper records than any processor has; deeper values are compared as a whole.
DEEPEST = 20

_CLAIM = {"uri", "sha256", "size"}
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class MaskView:
    """How two masks differ. `dice`: 1 if they are equal. Volumes are None where the files are equal, and were not read."""

    dice: float
    before_ml: float | None = None
    after_ml: float | None = None
    differing: int = 0
    labels: Mapping[int, float] = field(default_factory=dict)
    level: int | None = None
    picture: bytes = b""
    width_mm: float = 0.0
    height_mm: float = 0.0

    @property
    def change_ml(self) -> float | None:
        return None if self.before_ml is None or self.after_ml is None else self.after_ml - self.before_ml


@dataclass(frozen=True, slots=True)
class Difference:
    """A field, compared. `kind`: number, text, value, list, mask, file, type (of two types), missing (only before), extra (only
    after) or unknown (a file that can't be read). `absolute` and `relative`: of numbers, and the largest of a list; relative to
    the value before, None if that is 0. `similarity`: 0 to 1, for masks their Dice."""

    path: str
    kind: str
    equal: bool
    before: Any = None
    after: Any = None
    absolute: float | None = None
    relative: float | None = None
    similarity: float | None = None
    mask: MaskView | None = None
    note: str = ""

    @property
    def column(self) -> str:
        """The path without indices: the same for all rows of a table."""
        return _INDEX.sub("[]", self.path)

    @property
    def badness(self) -> float:
        """Return how much the field differs, from 0 (equal) to 1, to show the worst first."""
        if self.equal:
            return 0.0
        if self.similarity is not None:
            return min(1.0, max(1e-9, 1.0 - self.similarity))
        if self.kind == "number" and self.relative is not None:
            return min(1.0, max(1e-9, self.relative))
        return 1.0


#: Compares the files of two claims: path, claim before, claim after.
CompareFiles = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Sequence[Difference]]


@dataclass(frozen=True, slots=True)
class Comparer:
    """`tolerance`: numbers whose relative difference is not larger count as equal. Values close to 0 differ by it at most."""

    files: CompareFiles
    tolerance: float = 0.0

    def compare(self, before: Any, after: Any, path: str = "", depth: int = 0) -> Iterator[Difference]:
        """Yield a difference per field, of equal ones too, in the order of the fields."""
        if isinstance(before, Mapping) and isinstance(after, Mapping) and depth < DEEPEST:
            if before.keys() >= _CLAIM and after.keys() >= _CLAIM:
                yield from self.files(path, before, after)
            else:
                yield from self._records(before, after, path, depth)
        elif isinstance(before, list) and isinstance(after, list) and depth < DEEPEST:
            yield from self._lists(before, after, path, depth)
        elif is_number(before) and is_number(after):
            yield self._numbers(path, before, after)
        elif isinstance(before, str) and isinstance(after, str):
            yield compare_texts(path, before, after)
        else:
            kind = "value" if type(before) is type(after) or None in (before, after) else "type"
            yield Difference(path, kind, before == after and kind == "value", short(before), short(after))

    def _records(
        self, before: Mapping[str, Any], after: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[Difference]:
        for name in {**before, **after}:
            inner = f"{path}.{name}" if path else name
            if name not in after:
                yield Difference(inner, "missing", False, before=short(before[name]))
            elif name not in before:
                yield Difference(inner, "extra", False, after=short(after[name]))
            else:
                yield from self.compare(before[name], after[name], inner, depth + 1)

    def _lists(self, before: list[Any], after: list[Any], path: str, depth: int) -> Iterator[Difference]:
        both = [*before, *after]
        if both and all(isinstance(each, Mapping) for each in both):
            yield from self._tables(before, after, path, depth)
        elif both and all(map(is_number, both)):
            yield self._vectors(path, before, after)
        elif any(isinstance(each, list | Mapping) for each in both) and len(before) == len(after) <= MOST_ROWS:
            for n, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from self.compare(one, other, f"{path}[{n}]", depth + 1)
        else:
            yield _sequences(path, before, after)

    def _tables(self, before: list[Any], after: list[Any], path: str, depth: int) -> Iterator[Difference]:
        none = object()
        for n, (one, other) in enumerate(zip_longest(before[:MOST_ROWS], after[:MOST_ROWS], fillvalue=none)):
            row = f"{path}[{n}]"
            if other is none:
                yield Difference(row, "missing", False, before=short(one))
            elif one is none:
                yield Difference(row, "extra", False, after=short(other))
            else:
                yield from self.compare(one, other, row, depth + 1)
        if max(len(before), len(after)) > MOST_ROWS:
            rest_equal = before[MOST_ROWS:] == after[MOST_ROWS:]
            note = f"rows after the first {MOST_ROWS} are compared as a whole: {len(before)} and {len(after)} rows"
            yield Difference(f"{path}.rest", "list", rest_equal, similarity=float(rest_equal), note=note)

    def _numbers(self, path: str, before: float, after: float) -> Difference:
        absolute, relative = distance(before, after)
        return Difference(path, "number", self._near(before, after), before, after, absolute, relative)

    def _near(self, before: float, after: float) -> bool:
        if before == after or (math.isnan(before) and math.isnan(after)):
            return True
        return math.isclose(before, after, rel_tol=self.tolerance, abs_tol=self.tolerance)

    def _vectors(self, path: str, before: list[float], after: list[float]) -> Difference:
        pairs = list(zip(before, after, strict=False))
        other = sum(not self._near(one, two) for one, two in pairs) + abs(len(before) - len(after))
        distances = [distance(one, two) for one, two in pairs]
        note = f"{other} of {max(len(before), len(after))} elements differ"
        if len(before) != len(after):
            note += f"; {len(before)} elements before, {len(after)} after"
        return Difference(
            path,
            "list",
            not other,
            short(before),
            short(after),
            max((absolute for absolute, _ in distances), default=None),
            max((relative for _, relative in distances if relative is not None), default=None),
            cosine(before, after) if other else 1.0,
            note=note if other else "",
        )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def distance(before: float, after: float) -> tuple[float, float | None]:
    """Return the absolute difference, and that relative to the value before: None if it is 0 or not finite."""
    absolute = 0.0 if before == after or (math.isnan(before) and math.isnan(after)) else abs(after - before)
    finite = math.isfinite(absolute) and math.isfinite(before)
    if not finite:
        return (math.inf if math.isnan(absolute) else absolute), None
    return absolute, absolute / abs(before) if before else (0.0 if not absolute else None)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two lists of numbers, 0 or more; 0 if their lengths differ or it has no value."""
    lengths = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not lengths or not math.isfinite(lengths):
        return 0.0
    return min(1.0, max(0.0, sum(map(_product, one, other)) / lengths))


def compare_texts(path: str, before: str, after: str) -> Difference:
    """Compare by words: the similarity is twice the words that both have in order, over all words of both."""
    if before == after:
        return Difference(path, "text", True, short(before), short(after), similarity=1.0)
    one, other = before.split(), after.split()
    note = ""
    if max(len(one), len(other)) > MOST_WORDS:
        one, other, note = one[:MOST_WORDS], other[:MOST_WORDS], f"compared by the first {MOST_WORDS} words"
    elif one == other:
        note = "only white space differs"
    elif len(one) == len(other) == 1:
        one, other = [*before[:MOST_WORDS]], [*after[:MOST_WORDS]]
    return Difference(path, "text", False, short(before), short(after), similarity=_ratio(one, other), note=note)


def _sequences(path: str, before: list[Any], after: list[Any]) -> Difference:
    """Compare lists of anything, in their order."""
    one, other = [repr(each) for each in before[:MOST_WORDS]], [repr(each) for each in after[:MOST_WORDS]]
    equal = before == after
    lost, new = len(set(one) - set(other)), len(set(other) - set(one))
    note = "" if equal else f"{lost} elements only before, {new} only after" if lost or new else "another order"
    similarity = 1.0 if equal else _ratio(one, other)
    return Difference(path, "list", equal, short(before), short(after), similarity=similarity, note=note)


def _ratio(one: Sequence[str], other: Sequence[str]) -> float:
    total = len(one) + len(other)
    return 2 * common_in_order(one, other) / total if total else 1.0


def common_in_order(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by the bits of whole numbers: for two texts of 20,000 words this
    takes milliseconds."""
    places: dict[str, int] = {}
    for n, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << n
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(one) - row.bit_count()


def _product(one: float, other: float) -> float:
    return one * other


def short(value: Any) -> Any:
    """Return a value to show: long texts and lists are cut off, and say so."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"{value[:LONGEST_TEXT]}… ({len(value)} characters)"
    if isinstance(value, list) and len(value) > LONGEST_LIST:
        return [*map(short, value[:LONGEST_LIST]), f"… ({len(value)} elements)"]
    if isinstance(value, list):
        return [short(each) for each in value]
    if isinstance(value, Mapping):
        return {name: short(inner) for name, inner in value.items()}
    return value
