"""Reads job inputs: JSON from an option, a file or a pipe, and files that become claim checks."""

from __future__ import annotations

import json
import mimetypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from schemas.contract import AnyContract
from schemas.errors import UsageError
from schemas.plain import to_plain
from schemas.records import Claim
from streams.settings import Settings


def read_inputs(option: str | None) -> list[dict[str, Any]]:
    """Return the JSON objects that `option` names: a file, `-` for stdin, or the JSON itself.

    Several objects may follow each other (JSON lines) or be in a list. Raises UsageError that names the line.
    """
    if option is None:
        return [{}]
    if option.lstrip().startswith(("{", "[")):
        text, source = option, "--input"
    elif option == "-":
        text, source = _piped(), "standard input"
    else:
        text, source = _text(Path(option)), option
    if not (found := list(_objects(text, source))):
        raise UsageError(
            f"There is no JSON object in {source}.", next_step="Give one object per job, one per line or in a list."
        )
    return found


def with_files(
    settings: Settings, contract: AnyContract, inputs: Sequence[dict[str, Any]], files: Sequence[str]
) -> list[dict[str, Any]]:
    """Put each file of `field=path` in the object store and fill in its claim check in every input.

    Raises UsageError, ConnectionFailed.
    """
    claims = {name: to_plain(put_file(settings, path)) for name, path in named_files(contract, files).items()}
    return [{**input_, **claims} for input_ in inputs]


def named_files(contract: AnyContract, files: Sequence[str]) -> dict[str, Path]:
    """Parse `field=path` options; each field must take a claim check. Raises UsageError."""
    return dict(_pair(contract, file) for file in files)


def claim_fields(contract: AnyContract) -> list[str]:
    """Return the fields of a processor's input that take one claim check or a list of them."""
    return [field.name for field in fields(contract.input) if "Claim" in str(field.type)]


def put_file(settings: Settings, path: Path) -> Claim:
    """Put the file in the object store. Raises UsageError, ConnectionFailed."""
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}.")
    from streams import wiring

    return wiring.object_store(settings).put_file(path, content_type(path))


def content_type(path: Path) -> str:
    """Guess the content type from the name; the standard library does not know NIfTI."""
    if path.name.endswith((".nii", ".nii.gz")):
        return "application/x-nifti"
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Parse `key=value` options. Raises UsageError."""
    split = [text.partition("=") for text in values]
    if wrong := [key for key, equals, _ in split if not equals or not key]:
        raise UsageError(f"{option} {wrong[0]!r} does not have the form key=value.")
    return {key: value for key, _, value in split}


def _pair(contract: AnyContract, file: str) -> tuple[str, Path]:
    ((name, path),) = pairs([file], "--file").items()
    claims = claim_fields(contract)
    if name not in claims:
        raise UsageError(
            f"The field {name!r} of the input of {contract.name!r} does not take a file.",
            next_step=f"Fields that take a file: {', '.join(claims)}." if claims else "No field of it takes a file.",
        )
    return name, Path(path)


def _piped() -> str:
    """Return standard input, which is UTF-8 as JSON is, whatever the console's encoding. Raises UsageError."""
    if not isinstance(sys.stdin, TextIOWrapper):
        return sys.stdin.read()
    try:
        text: str = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"Standard input is not UTF-8: {error.reason} at byte {error.start}.") from error
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The input {str(path)!r} can't be read: {error}.",
            next_step="--input takes a file with JSON, `-` for standard input, or the JSON itself.",
        ) from error


def _objects(text: str, source: str) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(parse_constant=_refuse_constant), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as error:
            line = text.count("\n", 0, getattr(error, "pos", at)) + 1
            raise UsageError(f"{source}, line {line}, is not JSON: {error}.") from error
        except RecursionError as error:
            line = text.count("\n", 0, at) + 1
            raise UsageError(
                f"{source}, line {line}, has lists or objects nested too deeply for a job's input."
            ) from error
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                raise UsageError(f"{source} has a {type(item).__name__}; a job's input must be a JSON object.")
            yield item


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
