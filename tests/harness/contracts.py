"""Bodies of HTTP contracts, checked against the JSON Schemas in docs/contracts."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema

from tests.harness.source_tree import ROOT


def checker(name: str) -> Callable[[str, Any], Any]:
    """Return a function that checks a body against a definition of `docs/contracts/NAME.schema.json` and returns it."""
    schema = json.loads((ROOT / "docs" / "contracts" / f"{name}.schema.json").read_text())

    @cache
    def validator(definition: str) -> jsonschema.Draft202012Validator:
        return jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{definition}"})

    def check(definition: str, body: Any) -> Any:
        validator(definition).validate(body)
        return body

    return check
