"""Decodes and encodes records by the `.avsc` files alone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import parse_schema
from fastavro.types import AvroMessage, Schema

ROOT = Path(__file__).parents[3]
FOLDERS = (ROOT / "schemas" / "avro", ROOT / "tests" / "harness" / "processors" / "avro")
#: Confluent's framing: a zero, and the schema's id in four bytes.
_FRAME = 5


class AvroFiles:
    """Every record that has a file, by its full name."""

    def __init__(self, folders: Iterable[Path] = FOLDERS) -> None:
        self._written: dict[str, Any] = {}
        for folder in folders:
            for path in folder.glob("*.avsc"):
                self._written[f"sluice.v1.{path.stem}"] = json.loads(path.read_text())
        self._parsed: dict[str, Schema] = {}

    def schema(self, name: str) -> Schema:
        """Return the record's schema with all its parts. `name`: as `EchoRequest`."""
        if name not in self._parsed:
            written = self._whole(self._written[f"sluice.v1.{name}"], set())
            self._parsed[name] = parse_schema(written)
        return self._parsed[name]

    def decode(self, name: str, framed: bytes) -> dict[str, Any]:
        decoded: AvroMessage = fastavro.schemaless_reader(io.BytesIO(framed[_FRAME:]), self.schema(name), None)
        assert isinstance(decoded, dict)
        return decoded

    def encode(self, name: str, value: dict[str, Any], schema_id: int) -> bytes:
        out = io.BytesIO()
        out.write(b"\0" + schema_id.to_bytes(4, "big"))
        fastavro.schemaless_writer(out, self.schema(name), value)
        return out.getvalue()

    def _whole(self, part: Any, known: set[str]) -> Any:
        """Return the schema with each name replaced by its definition where it is used first."""
        if isinstance(part, str):
            if part not in self._written or part in known:
                return part
            known.add(part)
            return self._whole(self._written[part], known)
        if isinstance(part, list):
            return [self._whole(each, known) for each in part]
        if isinstance(part, dict):
            return {
                key: self._whole(value, known) if key in ("type", "fields", "items", "values") else value
                for key, value in part.items()
            }
        return part
