"""Converts dataclasses to and from the plain dicts that fastavro reads and writes.

A converter is made once per class: the engine converts thousands of records a second, and reading type hints each time would
cost more than the Avro encoding.
"""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")
#: Takes the place of a NUL, which Postgres refuses in text and in jsonb.
REPLACEMENT = "\ufffd"
Convert = Callable[[Any], Any]


def to_plain(value: Any) -> dict[str, Any]:
    """Convert a dataclass instance to a dict, including nested dataclasses."""
    dump = _dumper(type(value))
    plain: dict[str, Any] = dump(value)
    return plain


def from_plain(cls: type[T], plain: Mapping[str, Any]) -> T:
    """Make an instance of `cls` from a dict. Unknown keys are ignored, because a newer writer may have more fields.

    Raises TypeError if a field without default is missing.
    """
    made: T = _loader(cls)(plain)
    return made


def json_form(value: Any) -> Any:
    """Return a value of Avro in the form that it has in all JSON: bytes as base64, dates and times in ISO 8601, decimals as
    text, any other value as it is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _make_dumper(cls: Any) -> Convert:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is not a dataclass")
    names = tuple(f.name for f in dataclasses.fields(cls))
    get = attrgetter(*names) if len(names) > 1 else lambda value, one=attrgetter(names[0]): (one(value),)
    hints = typing.get_type_hints(cls)
    nested = [(f.name, step) for f in dataclasses.fields(cls) if (step := _dump_step(hints[f.name])) is not None]

    def dump(value: Any) -> dict[str, Any]:
        plain = dict(zip(names, get(value), strict=True))
        for name, step in nested:
            if plain[name] is not None:
                plain[name] = step(plain[name])
        return plain

    return dump


def _make_loader(cls: Any) -> Convert:
    hints = typing.get_type_hints(cls)
    names = frozenset(f.name for f in dataclasses.fields(cls))
    nested = [(name, step) for name in names if (step := _load_step(hints[name])) is not None]

    setters = _slot_setters(cls)

    def load(plain: Mapping[str, Any]) -> Any:
        if setters is not None and len(plain) == len(names) and plain.keys() == names:
            return fill(plain, setters)
        known = dict(plain) if plain.keys() <= names else {key: plain[key] for key in plain.keys() & names}
        for name, step in nested:
            if known.get(name) is not None:
                known[name] = step(known[name])
        return cls(**known)

    def fill(plain: Mapping[str, Any], setters: list[tuple[str, Callable[[Any, Any], None]]]) -> Any:
        made = object.__new__(cls)
        for name, put in setters:
            put(made, plain[name])
        for name, step in nested:
            if (value := plain[name]) is not None:
                object.__setattr__(made, name, step(value))
        return made

    return load


def _slot_setters(cls: type) -> list[tuple[str, Callable[[Any, Any], None]]] | None:
    """Return setters that bypass the slow `__init__` of a frozen dataclass: 1.7 µs for a JobHeader instead of 6.5.
    None if the class has no slots, or checks its fields in `__post_init__`."""
    if hasattr(cls, "__post_init__") or "__slots__" not in cls.__dict__:
        return None
    return [(f.name, cls.__dict__[f.name].__set__) for f in dataclasses.fields(cls)]


def _dump_step(hint: Any) -> Convert | None:
    """Return the conversion of a value of this type to plain data; None if it is plain already."""
    hint = _without_none(hint)
    if isinstance(hint, typing.TypeVar):
        return to_plain
    if dataclasses.is_dataclass(hint):
        return _dumper(hint)
    if typing.get_origin(hint) is list and (inner := _dump_step(typing.get_args(hint)[0])) is not None:
        return lambda items, step=inner: [step(item) for item in items]  # type: ignore[misc]
    return None


def _load_step(hint: Any) -> Convert | None:
    hint = _without_none(hint)
    if dataclasses.is_dataclass(hint):
        return _loader(hint)
    if typing.get_origin(hint) is list and (inner := _load_step(typing.get_args(hint)[0])) is not None:
        return lambda items, step=inner: [step(item) for item in items]  # type: ignore[misc]
    return None


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


# Annotated as taking anything: mypy does not count type[T] as hashable.
_dumper: Callable[[Any], Convert] = cache(_make_dumper)
_loader: Callable[[Any], Convert] = cache(_make_loader)
