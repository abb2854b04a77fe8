"""A check of an outcome, and comparisons that say which fields differ without quoting a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connectors.jsonb import jsonb
from schemas.records import Claim

_CLAIM = frozenset({"uri", "sha256", "size", "content_type"})


class ComparisonResult(StrEnum):
    OK = "ok"
    DIFFERS = "differs"
    #: For example because the record has left the log, or this machine does not have that version.
    UNCHECKED = "can't be checked"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of one comparison. `detail`: what differs, or why it can't be checked."""

    name: str
    result: ComparisonResult
    detail: str = ""


def verified(made: Iterable[Comparison]) -> bool:
    """True if something was compared, and nothing differs."""
    results = {each.result for each in made}
    return ComparisonResult.OK in results and ComparisonResult.DIFFERS not in results


def ok(name: str, detail: str = "") -> Comparison:
    return Comparison(name, ComparisonResult.OK, detail)


def differs(name: str, detail: str) -> Comparison:
    return Comparison(name, ComparisonResult.DIFFERS, detail)


def unchecked(name: str, detail: str) -> Comparison:
    return Comparison(name, ComparisonResult.UNCHECKED, detail)


def as_json(value: Any) -> Any:
    """Return a decoded value as the store would return it: numbers that JSON lacks are null, times are text."""
    return None if value is None else json.loads(jsonb(value))


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Yield, for each field in which two values differ, its path and how: values may be a patient's, and are not quoted.

    Of claims of files only hash, size and type count: where a file lies is no part of a result.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        names = ours.keys() | theirs.keys()
        if names >= _CLAIM:
            names = {"sha256", "size", "content_type"}
        for name in sorted(names):
            yield from differences(ours.get(name), theirs.get(name), f"{path}.{name}" if path else str(name))
    elif _is_list(ours) and _is_list(theirs):
        if len(ours) != len(theirs):
            yield f"{path or 'output'}: {len(ours)} items, stored are {len(theirs)}"
        for n, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(one, other, f"{path}[{n}]")
    elif ours != theirs:
        yield f"{path or 'output'}{_by(ours, theirs)}"


def summary(found: Sequence[str], most: int = 4) -> str:
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def claims_in(plain: Any, path: str = "") -> Iterator[tuple[str, Claim]]:
    """Yield every claim in a decoded value with the path of its field."""
    if isinstance(plain, Mapping):
        if plain.keys() >= _CLAIM:
            yield path, Claim(plain["uri"], plain["sha256"], plain["size"], plain["content_type"])
            return
        for name, value in plain.items():
            yield from claims_in(value, f"{path}.{name}" if path else str(name))
    elif isinstance(plain, list):
        for n, value in enumerate(plain):
            yield from claims_in(value, f"{path}[{n}]")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _by(ours: Any, theirs: Any) -> str:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (ours, theirs))
    return f" by {abs(ours - theirs):.3g}" if numbers else ""
