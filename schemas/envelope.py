"""Requests and results with their typed inner part: plain dicts in, dataclasses out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.contract import ProcessorContract
from schemas.errors import InvalidInput, UndecodableRecord
from schemas.plain import from_plain, to_plain
from schemas.records import JobHeader, Request, Result, ResultInfo

if TYPE_CHECKING:
    from schemas.codec import Encoder

I_ = TypeVar("I_")
O_ = TypeVar("O_")


def header_of(plain: Mapping[str, Any]) -> JobHeader:
    """The JobHeader of a decoded request or result. Raises UndecodableRecord when it has none."""
    try:
        header = from_plain(JobHeader, plain["header"])
    except (KeyError, TypeError) as error:
        raise UndecodableRecord(f"The record has no readable job header: {error}.") from error
    for when in (header.created_at, header.deadline, header.not_before):
        # Another writer's schema decides what arrives here; a naive time can't be compared with ours.
        if when is not None and (type(when) is not datetime or when.tzinfo is None):
            raise UndecodableRecord("A time in the record's job header is none, or has no time zone.")
    return header


def request_of(contract: ProcessorContract[I_, O_], plain: Mapping[str, Any]) -> Request[I_]:
    """A decoded request, its input typed. Raises UndecodableRecord."""
    try:
        return Request(header_of(plain), from_plain(contract.input, plain["input"]))
    except (KeyError, TypeError) as error:
        raise UndecodableRecord(f"The record is no request of {contract.name!r}: {error}.") from error


def result_of(contract: ProcessorContract[I_, O_], plain: Mapping[str, Any]) -> Result[O_]:
    """A decoded result, its output typed. Raises UndecodableRecord."""
    try:
        output = plain["output"]
        return Result(
            header_of(plain),
            from_plain(ResultInfo, plain["result"]),
            None if output is None else from_plain(contract.output, output),
        )
    except (KeyError, TypeError) as error:
        raise UndecodableRecord(f"The record is no result of {contract.name!r}: {error}.") from error


def typed_input(contract: ProcessorContract[I_, O_], given: Mapping[str, Any]) -> I_:
    """A processor's input from loose data (JSON). Raises InvalidInput that names what is missing or unknown."""
    fields = {f.name: f for f in dataclasses.fields(contract.input)}  # type: ignore[arg-type]
    unknown = sorted(given.keys() - fields.keys())
    missing = [
        name
        for name, f in fields.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and name not in given
    ]
    if unknown or missing:
        said = [f"has no field {', '.join(unknown)}"] * bool(unknown) + [f"needs {', '.join(missing)}"] * bool(missing)
        raise InvalidInput(
            f"The input of {contract.name!r} {' and '.join(said)}.", next_step=f"Its fields are: {', '.join(fields)}."
        )
    try:
        return from_plain(contract.input, given)
    except (TypeError, AttributeError) as error:
        raise InvalidInput(f"The input of {contract.name!r} does not fit: {error}.") from error


def input_hash(encoder: Encoder, input_: Any) -> str:
    """sha256, lower-case hex, of a request's input, encoded alone by the request schema's input type.

    Equal inputs have equal hashes whatever their headers; a retry or a resend is recognised by it.
    """
    return hashlib.sha256(encoder.encode_field("input", to_plain(input_))).hexdigest()
