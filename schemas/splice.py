"""Copies a job's header from its request to its result as encoded bytes.

The header is the first record in both schemas, and the same. It must be decoded, but its twenty-seven fields need not be
encoded again: that was the largest single cost of a small job (10 of 57 µs in the worker's child).
"""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro

from schemas.avsc import write
from schemas.codec import DECODE_ERRORS, FRAME, Encoder, schema_id_of
from schemas.errors import UndecodableRecord
from schemas.ranges import OutOfRange, number_check

Plain = dict[str, Any]


class HeaderSplice:
    """For one processor. `request`, `result`: the encoders of its two schemas, which are given as JSON texts too."""

    def __init__(self, request: Encoder, request_schema: str, result: Encoder, result_schema: str) -> None:
        request_fields, result_fields = json.loads(request_schema)["fields"], json.loads(result_schema)["fields"]
        if request_fields[0] != result_fields[0]:
            raise ValueError("request and result do not begin with the same header")
        named: dict[str, Any] = {}
        self._request_id = request.schema_id
        self._header = fastavro.parse_schema(request_fields[0]["type"], named)
        self._input = fastavro.parse_schema(request_fields[1]["type"])
        tail = {"type": "record", "name": "ResultTail", "namespace": "sluice.v1", "fields": result_fields[1:]}
        self._tail = fastavro.parse_schema(tail, named)
        self._check_header, self._check_tail = number_check(self._header), number_check(self._tail)
        self._frame = FRAME.pack(0, result.schema_id)

    def split(self, data: bytes) -> tuple[Plain, bytes, Plain] | None:
        """Return header, header bytes and input of a request; None if another schema wrote it. Raises UndecodableRecord."""
        if schema_id_of(data) != self._request_id:
            return None
        body = io.BytesIO(data)
        body.seek(FRAME.size)
        try:
            header: Any = fastavro.schemaless_reader(body, self._header, None)
            self._check_header(header)
            middle = body.tell()
            input_: Any = fastavro.schemaless_reader(body, self._input, None)
        except OutOfRange as error:
            raise UndecodableRecord(f"The job's header can't be used: {error}.") from error
        except DECODE_ERRORS as error:
            raise UndecodableRecord(
                f"The bytes do not decode by schema {self._request_id}: {type(error).__name__}."
            ) from error
        if body.tell() != len(data):
            raise UndecodableRecord(f"{len(data) - body.tell()} bytes are left over after decoding the request.")
        return header, data[FRAME.size : middle], input_

    def join(self, header: bytes, tail: Plain) -> bytes:
        """Encode a framed result from header bytes and the other fields. Raises InvalidInput if they do not fit the schema."""
        return write(self._tail, self._check_tail, tail, self._frame + header)
