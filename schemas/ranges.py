"""Checks the numbers of a record against its Avro schema.

fastavro writes an integer beyond 32 bits into an `int`, 1.5 as 1, True as 1 and a `float` beyond its range as infinity, all in
silence, and reads the first back. A check is compiled once per schema and looks at numbers only, so it costs about a
microsecond a record.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], None]
_LARGEST_FLOAT = 3.4028234663852886e38
_BITS = {"int": 31, "long": 63}


class OutOfRange(ValueError):
    """A number that its field can't hold. The message names the field and the limit, never the value."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{'.'.join(reversed(self.path)) or 'the value'} {self.problem}"


def number_check(schema: Any, *, finite: bool = False) -> Check:
    """Return a function that raises OutOfRange for a value with a number that this parsed schema can't hold.

    `finite`: refuse NaN and infinity as well.
    """
    return _check(schema, _Names(finite)) or _nothing


class _Names(dict[str, "Check | None"]):
    """Checks of named types; None while in work, or without numbers."""

    def __init__(self, finite: bool) -> None:
        super().__init__()
        self.finite = finite


def _nothing(value: Any) -> None:
    """Check nothing: the schema has no numbers."""


def _check(schema: Any, known: _Names) -> Check | None:
    """Return the check of a type, None if it has no numbers."""
    if isinstance(schema, str):
        return _of_name(schema, known)
    if isinstance(schema, list):
        return _of_union(schema, known)
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _check(kind, known)
    if "logicalType" in schema:  # times and decimals: their converters check them
        return None
    if kind in ("record", "error"):
        known[schema["name"]] = None
        fields = [(field["name"], _check(field["type"], known)) for field in schema["fields"]]
        known[schema["name"]] = made = _of_record([(name, check) for name, check in fields if check is not None])
        return made
    if kind == "array":
        return _of_items(_check(schema["items"], known), list)
    if kind == "map":
        return _of_items(_check(schema["values"], known), dict.values)
    return _of_name(kind, known)


def _of_name(name: str, known: _Names) -> Check | None:
    if name in _BITS:
        return _Integer(_BITS[name])
    if name == "float" or (name == "double" and known.finite):
        return _Float(name == "float", known.finite)
    return known.get(name)


class _Integer:
    """The check of an `int` or `long`, also of one that may be null."""

    def __init__(self, bits: int, nullable: bool = False) -> None:
        self.bits = bits
        self.limits = -(1 << bits), (1 << bits) - 1
        self.nullable = nullable

    def __call__(self, value: Any) -> None:
        if value is None and self.nullable:
            return
        if isinstance(value, bool) or not hasattr(value, "__index__"):  # a number of NumPy has an __index__
            raise OutOfRange(f"is a {type(value).__name__}; it takes a whole number")
        low, high = self.limits
        if not low <= operator.index(value) <= high:
            raise OutOfRange(f"is beyond {self.bits + 1} bits; it takes {low} to {high}")


class _Float:
    """The check of a `float`, and of a `double` that must be finite."""

    def __init__(self, single: bool, finite: bool) -> None:
        self.single = single
        self.finite = finite

    def __call__(self, value: Any) -> None:
        if not isinstance(value, int | float):
            return  # encoding fails
        if self.finite and not math.isfinite(value):
            raise OutOfRange("contains NaN or infinity")
        if self.single and _LARGEST_FLOAT < abs(value) != math.inf:
            raise OutOfRange("is beyond the range of a 32-bit float")

    def all(self, values: list[Any] | tuple[Any, ...]) -> None:
        """Check many, fast: a sum is finite only if all are."""
        try:
            in_range = not self.single or (min(values) >= -_LARGEST_FLOAT and max(values) <= _LARGEST_FLOAT)
            if in_range and math.isfinite(sum(values)):
                return
        except (TypeError, ValueError, OverflowError):  # no numbers, or none at all
            pass
        for value in values:
            self(value)


def _of_union(arms: list[Any], known: _Names) -> Check | None:
    """Check a union of null and one other type. fastavro selects among several by the value, ranges included."""
    others = [arm for arm in arms if arm != "null"]
    inner = _check(others[0], known) if len(others) == 1 else None
    if inner is None or len(arms) == 1:
        return inner
    if isinstance(inner, _Integer):
        return _Integer(inner.bits, nullable=True)
    check_inner = inner

    def check(value: Any) -> None:
        if value is not None:
            check_inner(value)

    return check


def _of_record(fields: list[tuple[str, Check]]) -> Check | None:
    if not fields:
        return None
    # Whole numbers, which most are, are compared here: a call for each would cost as much as the rest of the check.
    limits = [(name, *inner.limits, inner.nullable, inner) for name, inner in fields if isinstance(inner, _Integer)]
    others = [(name, inner) for name, inner in fields if not isinstance(inner, _Integer)]

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            return  # encoding fails
        for name, low, high, nullable, inner in limits:
            number = value.get(name)
            if not ((type(number) is int and low <= number <= high) or (number is None and nullable)):
                _within(name, inner, value)
        for name, other in others:
            if value.get(name) is not None:
                _within(name, other, value)

    return check


def _within(name: str, inner: Check, record: dict[str, Any]) -> None:
    """Check one field of a record, and name it in the error."""
    try:
        if name in record:
            inner(record[name])
    except OutOfRange as error:
        error.path.append(name)
        raise


def _of_items(inner: Check | None, values: Callable[[Any], Any]) -> Check | None:
    if inner is None:
        return None
    if isinstance(inner, _Float) and values is list:
        many = inner.all
        return lambda value: many(value) if isinstance(value, list | tuple) else None
    check_inner, container = inner, dict if values is dict.values else list | tuple

    def check(value: Any) -> None:
        if isinstance(value, container):
            for item in values(value):
                check_inner(item)

    return check
