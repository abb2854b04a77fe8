"""Converts decoded requests and results (plain dicts) to dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.contract import ProcessorContract
from schemas.errors import InvalidInput, UndecodableRecord
from schemas.plain import from_plain, to_plain
from schemas.records import JobHeader, Request, Result, ResultInfo

if TYPE_CHECKING:
    from schemas.codec import Encoder

I_ = TypeVar("I_")
O_ = TypeVar("O_")


#: The fields that the engine compares and counts with. The writer's schema may have other types here.
_TEXTS = ("job_id", "processor", "input_sha256", "tenant", "mode", "lane", "custody")
_NUMBERS = ("run", "attempt", "max_attempts")
_KINDS = (str,) * len(_TEXTS) + (int,) * len(_NUMBERS)
_steering = attrgetter(*_TEXTS, *_NUMBERS)


def header_of(plain: Mapping[str, Any]) -> JobHeader:
    """Return the JobHeader of a decoded request or result. Raises UndecodableRecord if it has none."""
    try:
        header = from_plain(JobHeader, plain["header"])
        kinds = tuple(map(type, _steering(header)))
    except (KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"The record has no readable job header: {error}.") from error
    if kinds != _KINDS:
        raise UndecodableRecord("A field of the record's job header has another type than this version's.")
    for when in (header.created_at, header.deadline, header.not_before):
        # The writer's schema may have another type here; a naive time can't be compared with ours.
        if when is not None and (type(when) is not datetime or when.tzinfo is None):
            raise UndecodableRecord("A time in the record's job header is not a time, or has no time zone.")
    return header


def request_of(contract: ProcessorContract[I_, O_], plain: Mapping[str, Any]) -> Request[I_]:
    """Convert a decoded request. Raises UndecodableRecord."""
    try:
        return Request(header_of(plain), from_plain(contract.input, plain["input"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"The record is not a request of {contract.name!r}: {error}.") from error


def result_of(contract: ProcessorContract[I_, O_], plain: Mapping[str, Any]) -> Result[O_]:
    """Convert a decoded result. Raises UndecodableRecord."""
    try:
        output = plain["output"]
        return Result(
            header_of(plain),
            from_plain(ResultInfo, plain["result"]),
            None if output is None else from_plain(contract.output, output),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"The record is not a result of {contract.name!r}: {error}.") from error


def typed_input(contract: ProcessorContract[I_, O_], data: Mapping[str, Any]) -> I_:
    """Convert JSON data to a processor's input. Raises InvalidInput that names the missing and unknown fields."""
    fields = {f.name: f for f in dataclasses.fields(contract.input)}  # type: ignore[arg-type]
    unknown = sorted(data.keys() - fields.keys())
    missing = [
        name
        for name, f in fields.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and name not in data
    ]
    if unknown or missing:
        problems = [f"has no field {', '.join(unknown)}"] * bool(unknown) + [f"needs {', '.join(missing)}"] * bool(
            missing
        )
        raise InvalidInput(
            f"The input of {contract.name!r} {' and '.join(problems)}.",
            next_step=f"Its fields are: {', '.join(fields)}.",
        )
    try:
        return from_plain(contract.input, data)
    except (TypeError, AttributeError) as error:
        raise InvalidInput(f"The input of {contract.name!r} does not fit: {error}.") from error


def input_hash(encoder: Encoder, input_: Any) -> str:
    """Return the sha256 (lower-case hex) of a request's input, encoded alone by the request schema's input type.

    Equal inputs have equal hashes whatever their headers, so retries and resends are recognised by it.
    """
    return hashlib.sha256(encoder.encode_field("input", to_plain(input_))).hexdigest()
