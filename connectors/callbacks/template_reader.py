"""Reads templates of callback bodies (template.py says what they are). An error names its place and the nearest right name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.callbacks.places import Place
from connectors.callbacks.template import (
    Base64,
    Each,
    Files,
    ListOf,
    Literal,
    ObjectOf,
    Path,
    Reference,
    Template,
    dotted,
)
from schemas.errors import ErrorCode
from schemas.states import State

#: Checks the path of a reference, where the fields at it are known.
PathCheck = Callable[[Place, Path], None]

_OPTIONS = ("default", "rename", "rename_else", "as", "if_null")
_OPERATORS: dict[str, tuple[str, ...]] = {
    "$from": _OPTIONS,
    "$each": ("item",),
    "$base64": ("if_null",),
    "$files": (),
    "$literal": (),
}
#: Values that `rename` may name, by the last part of the path that it is about.
_RENAMED: dict[Path, tuple[str, ...]] = {
    ("data", "status"): tuple(state for state in State if state is not State.UNKNOWN),
    ("data", "error", "code"): tuple(code for code in ErrorCode),
}


def parse_template(value: Any, place: Place, check: PathCheck) -> Template:
    """Return the template that this data describes. Raises UsageError that names the place."""
    if isinstance(value, str):
        return Reference(_path(value[2:], place, check)) if value.startswith("$.") else Literal(value)
    if isinstance(value, Mapping):
        operator = [name for name in value if name.startswith("$")]
        if operator:
            return _operation(value, operator[0], place, check)
        return ObjectOf(tuple((name, parse_template(one, place / name, check)) for name, one in value.items()))
    if isinstance(value, list):
        return ListOf(tuple(parse_template(one, place / str(n), check) for n, one in enumerate(value)))
    return Literal(_literal(value))


def _operation(value: Mapping[str, Any], operator: str, place: Place, check: PathCheck) -> Template:
    place.one_of(operator, _OPERATORS, "operation")
    for name in value:
        if name != operator:
            place.one_of(name, _OPERATORS[operator], f"option of {operator}")
    if operator == "$literal":
        return Literal(_literal(value[operator]))
    path = _path(value[operator], place / operator, check)
    if operator == "$each":
        if "item" not in value:
            raise place.error("$each needs `item`, the template of one item")
        return Each(path, parse_template(value["item"], place / "item", _unchecked))
    if operator == "$files":
        return Files(path)
    omit = _omit_null(value, place)
    return Base64(path, omit) if operator == "$base64" else _reference(path, value, omit, place)


def _reference(path: Path, value: Mapping[str, Any], omit_null: bool, place: Place) -> Reference:
    rename, convert = value.get("rename"), value.get("as")
    if rename is not None and not isinstance(rename, Mapping):
        raise (place / "rename").error("it takes a table of old and new values")
    for name in rename or ():
        if path in _RENAMED:
            (place / "rename").one_of(name, _RENAMED[path], f"value of {dotted(path)}")
    if "rename_else" in value and rename is None:
        raise place.error("`rename_else` needs `rename`")
    if convert is not None:
        (place / "as").one_of(convert, CONVERSIONS, "conversion")
    return Reference(
        path,
        _literal(value.get("default")),
        rename,
        value.get("rename_else"),
        None if convert is None else CONVERSIONS[convert],
        omit_null,
    )


def _omit_null(value: Mapping[str, Any], place: Place) -> bool:
    choice = value.get("if_null", "null")
    (place / "if_null").one_of(choice, ("null", "omit"), "choice")
    return bool(choice == "omit")


def _path(value: Any, place: Place, check: PathCheck) -> Path:
    parts = value.split(".") if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, str) and part for part in parts):
        raise place.error("a path is names with dots between them, such as data.job_id")
    check(place, tuple(parts))
    return tuple(parts)


def _unchecked(place: Place, path: Path) -> None:
    """Accept any path: the fields of an item are the processor's own."""


def _literal(value: Any) -> Any:
    """Return plain JSON: TOML has times of its own."""
    if isinstance(value, Mapping):
        return {name: _literal(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


# ── conversions: None if the value has no such form ──


def _whole(value: Any) -> Any:
    """Return a number without its fraction: 99.6 percent is not 100 yet."""
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _moment(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _unix(value: Any, per_second: int) -> int | None:
    at = _moment(value)
    return None if at is None else int(at.timestamp() * per_second)


def _iso_z(value: Any) -> str | None:
    at = _moment(value)
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "int": _whole,
    "text": str,
    "unix_s": lambda value: _unix(value, 1),
    "unix_ms": lambda value: _unix(value, 1000),
    "iso_z": _iso_z,
}
