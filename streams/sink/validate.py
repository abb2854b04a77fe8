"""Checks the field types of decoded records: any schema can be registered, so a record may have any types."""

from __future__ import annotations

import struct
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any

from connectors.sink_store import Unstorable
from schemas.errors import UndecodableRecord

Kinds = tuple[tuple[str, tuple[type, ...]], ...]

#: Errors that one bad record may cause while it is turned into rows and stored. Only the first is expected; the others are
#: caught so that no record can crash the service, which would read it again after each restart.
POISON = (Unstorable, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)

#: Ranges of Postgres' integer and bigint.
_INT4 = range(-(2**31), 2**31)
_INT8 = range(-(2**63), 2**63)
NARROW = ("run", "attempt", "execution", "sequence")


def kinds_of(record: type) -> Kinds:
    """Return the Python types that each field of a record class may have after Avro decoding."""
    return tuple((name, _kinds(hint)) for name, hint in typing.get_type_hints(record).items())


def check(plain: Mapping[str, Any], kinds: Kinds, what: str) -> None:
    """Raise UndecodableRecord for the first field with a wrong type or out of range. Absent fields are not checked."""
    for name, allowed in kinds:
        value = plain.get(name, None)
        if not isinstance(value, allowed) and name in plain:
            raise UndecodableRecord(f"The field {name!r} of the {what} has the type {type(value).__name__}.")
        kind = type(value)
        if kind is int and value not in (_INT4 if name in NARROW else _INT8):
            raise UndecodableRecord(f"The field {name!r} of the {what} is out of range.")
        if kind is datetime and value.tzinfo is None:
            raise UndecodableRecord(f"The field {name!r} of the {what} has no time zone.")


def _kinds(hint: Any) -> tuple[type, ...]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return tuple(kind for arm in typing.get_args(hint) for kind in _kinds(arm))
    if is_dataclass(hint):
        return (dict,)
    origin = typing.get_origin(hint) or hint
    return (float, int) if origin is float else (origin,)
