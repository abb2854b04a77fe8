"""The `.avsc` files are the contract; the dataclasses must have the same fields."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import records
from schemas.avsc import request_schema, result_schema, self_contained
from schemas.contract import AVRO_DIR, AnyContract, contract, known_processors

SHARED = ["Claim", "Coordinates", "ErrorInfo", "JobHeader", "Progress", "ResultInfo", "Timings", "Upload"]
CONTRACTS = [contract(name) for name in known_processors()]
PYTHON = {"string": str, "int": int, "long": int, "double": float, "float": float, "bytes": bytes, "boolean": bool}


def fields_of(name: str, folder: Path = AVRO_DIR) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in json.loads((folder / f"{name}.avsc").read_text())["fields"]}


def assert_same(cls: type, fields: dict[str, dict[str, Any]]) -> None:
    hints = typing.get_type_hints(cls)
    assert set(hints) == set(fields)
    for field in dataclasses.fields(cls):
        avro = fields[field.name]
        nullable = isinstance(avro["type"], list)
        assert nullable == (type(None) in typing.get_args(hints[field.name])), field.name
        plain = avro["type"][1] if nullable else avro["type"]
        if isinstance(plain, str) and plain in PYTHON:
            assert PYTHON[plain] in (hints[field.name], *typing.get_args(hints[field.name])), field.name
        if field.default is not dataclasses.MISSING:
            assert avro.get("default", "absent") == field.default, field.name


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_record_has_the_same_fields_in_avro_and_python(name: str) -> None:
    assert_same(getattr(records, name), fields_of(name))


@pytest.mark.parametrize("made", CONTRACTS, ids=lambda made: made.name)
def test_a_processors_types_have_the_same_fields_in_avro_and_python(made: AnyContract) -> None:
    request, result = fields_of(f"{made.camel}Request", made.avro_dir), fields_of(f"{made.camel}Result", made.avro_dir)
    assert_same(made.input, {f["name"]: f for f in request["input"]["type"]["fields"]})
    assert_same(made.output, {f["name"]: f for f in result["output"]["type"][1]["fields"]})


@pytest.mark.parametrize("name", sorted(path.stem for path in AVRO_DIR.glob("*.avsc")))
def test_every_expanded_schema_is_self_contained(name: str) -> None:
    text = self_contained(name)
    fastavro.parse_schema(json.loads(text))
    assert text.count('"name":"JobHeader"') <= 1


def test_every_processor_has_both_schemas() -> None:
    assert {"echo", "embed", "segmentation"} <= {made.name for made in CONTRACTS}
    for made in CONTRACTS:
        assert '"header"' in request_schema(made)
        assert '"output"' in result_schema(made)
