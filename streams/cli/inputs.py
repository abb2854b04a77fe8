"""Inputs as people give them: a JSON object, a file of them, a pipe, and files that become claim checks."""

from __future__ import annotations

import json
import mimetypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from schemas.contract import AnyContract
from schemas.errors import UsageError
from schemas.plain import to_plain
from schemas.records import Claim
from streams.settings import Settings


def read_inputs(given: str | None) -> list[dict[str, Any]]:
    """The JSON objects in `given`: a file's name, `-` for stdin, or the JSON itself. Several may follow each other
    (JSON lines) or stand in a list. Raises UsageError that names the line."""
    if given is None:
        return [{}]
    if given.lstrip().startswith(("{", "[")):
        text, source = given, "--input"
    elif given == "-":
        text, source = sys.stdin.read(), "standard input"
    else:
        text, source = _text(Path(given)), given
    if not (found := list(_objects(text, source))):
        raise UsageError(f"There is no job in {source}.", next_step="Give a JSON object, or one a line.")
    return found


def with_files(
    settings: Settings, contract: AnyContract, inputs: Sequence[dict[str, Any]], files: Sequence[str]
) -> list[dict[str, Any]]:
    """`inputs`, with the claim of each `field=path` filled in; the files are put in the object store.

    Raises UsageError, ConnectionFailed.
    """
    claims = {name: to_plain(put_file(settings, path)) for name, path in named_files(contract, files).items()}
    return [{**given, **claims} for given in inputs]


def named_files(contract: AnyContract, files: Sequence[str]) -> dict[str, Path]:
    """`field=path` options, for fields that take a claim. Raises UsageError."""
    return dict(_pair(contract, file) for file in files)


def claim_fields(contract: AnyContract) -> list[str]:
    """The fields of a processor's input that take a claim, or several."""
    return [field.name for field in fields(contract.input) if "Claim" in str(field.type)]


def put_file(settings: Settings, path: Path) -> Claim:
    """The file, kept in the object store. Raises UsageError, ConnectionFailed."""
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}.")
    from streams import wiring

    return wiring.object_store(settings).put_file(path, content_type(path))


def content_type(path: Path) -> str:
    """By the name; NIfTI is not in the standard library's table."""
    if path.name.endswith((".nii", ".nii.gz")):
        return "application/x-nifti"
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """`key=value` options as a dict. Raises UsageError."""
    split = [text.partition("=") for text in given]
    if wrong := [key for key, equals, _ in split if not equals or not key]:
        raise UsageError(f"{option} {wrong[0]!r} is not of the form key=value.")
    return {key: value for key, _, value in split}


def _pair(contract: AnyContract, file: str) -> tuple[str, Path]:
    ((name, path),) = pairs([file], "--file").items()
    claims = claim_fields(contract)
    if name not in claims:
        raise UsageError(
            f"The input of {contract.name!r} takes no file in {name!r}.",
            next_step=f"It takes files in: {', '.join(claims)}." if claims else "It takes no files at all.",
        )
    return name, Path(path)


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
            raise UsageError(f"{source}, line {line}, nests lists or objects too deep to be a job's input.") from error
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                raise UsageError(f"{source} has a {type(item).__name__} where a job's input, an object, was expected.")
            yield item


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON has")
