"""Builds the frozen records of `models` from JSON. Fields that this version does not know are ignored, so that an old client
works with a new gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sluice_client.errors import UnexpectedAnswer
from sluice_client.wire import Answer

T = TypeVar("T")


def record_of(cls: type[T], answer: Answer) -> T:
    """Return the record in the body of an answer. Raises UnexpectedAnswer."""
    return build(cls, json_of(answer.body))


def json_of(body: bytes | str) -> Any:
    """Raises UnexpectedAnswer if the text is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(
            "The answer is not JSON.", "Check SLUICE_GATEWAY_URL, and the proxies between here and the gateway."
        ) from error


def build(cls: type[T], data: Any) -> T:
    """Return a record of a JSON object. Raises UnexpectedAnswer, naming the field, if a field is missing or of another type."""
    if not isinstance(data, dict):
        raise _unexpected(cls, "it is not an object")
    values = {}
    kind: Any = cls
    for name, (hint, required) in _fields(kind).items():
        if data.get(name) is None:
            if required:
                raise _unexpected(cls, f"it has no {name}")
            continue
        try:
            values[name] = _value(hint, data[name])
        except (TypeError, ValueError) as error:
            raise _unexpected(cls, f"{name} is of another type") from error
    return cls(**values)


@cache
def _fields(cls: type[Any]) -> Mapping[str, tuple[Any, bool]]:
    hints = get_type_hints(cls)
    return {
        field.name: (hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in fields(cls)
    }


def _value(hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _value(next(arg for arg in get_args(hint) if arg is not type(None)), value)
    if origin is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return _of_type(dict, value)
    if isinstance(hint, type) and is_dataclass(hint):
        return build(hint, value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is float:
        return float(_of_type((int, float), value))
    return value if hint is Any else _of_type(hint, value)


def _of_type(cls: Any, value: Any) -> Any:
    if not isinstance(value, cls) or (isinstance(value, bool) and cls is not bool):
        raise TypeError
    return value


def _unexpected(cls: type[Any], why: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"The gateway's {cls.__name__} can't be read: {why}.", "Check that client and gateway are of one version."
    )
