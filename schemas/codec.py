"""Encodes and decodes Avro in Confluent framing: a zero byte, the schema id as four big-endian bytes, the Avro body.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/#wire-format
"""

from __future__ import annotations

import io
import json
import struct
from typing import Any, Generic, NamedTuple, TypeVar

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from schemas.avsc import write
from schemas.errors import UndecodableRecord, UnknownSchema
from schemas.plain import from_plain, to_plain
from schemas.ranges import Check, OutOfRange, number_check
from schemas.registry import SchemaRegistry
from schemas.untrusted import UnsafeSchema, parse_untrusted, values_per_byte

T = TypeVar("T")

MAGIC = 0
FRAME = struct.Struct(">bI")
#: Schema ids are Java integers.
LARGEST_ID = 2**31 - 1

#: A record that may hold more values is not decoded: each takes up to 64 bytes of memory, which makes 1 GiB.
MOST_VALUES = 1 << 24

# Errors that fastavro raises for bytes that do not match the schema. It reads without limits, so a wrong length causes an
# EOFError (short read) or a MemoryError or OverflowError (absurd count).
DECODE_ERRORS = (
    SchemaResolutionError,
    EOFError,
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
    ArithmeticError,  # decimals
    AttributeError,
    struct.error,
    StopIteration,
)


def schema_id_of(data: bytes) -> int:
    """Return the schema id in the frame. Raises UndecodableRecord if there is no frame."""
    if len(data) < FRAME.size or data[0] != MAGIC:
        raise UndecodableRecord(f"These {len(data)} bytes do not begin with a Confluent frame (0x00 and a schema id).")
    schema_id: int = FRAME.unpack_from(data)[1]
    return schema_id


class _KnownSchema(NamedTuple):
    """A parsed schema, the check of its numbers, and the most values that one byte may hold."""

    parsed: Any
    check: Check
    density: float = 1.0


class Codec:
    """Encodes and decodes with the schemas of one registry. Each schema is parsed once. Safe to share between threads."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._by_id: dict[int, _KnownSchema] = {}
        self._rejected: dict[int, str] = {}

    def decode(self, data: bytes, reader: Any = None) -> dict[str, Any]:
        """Decode a record to a plain dict by the writer's schema, resolved to `reader` (a parsed schema) if given.

        Raises UndecodableRecord, UnknownSchema, and Unreachable if a new schema can't be fetched.
        """
        schema_id = schema_id_of(data)
        known = self._by_id.get(schema_id) or self._fetch(schema_id)
        if len(data) * known.density > MOST_VALUES:
            raise UndecodableRecord(f"These {len(data)} bytes may hold too many values by schema {schema_id}.")
        body = io.BytesIO(data)
        body.seek(FRAME.size)
        try:
            record = fastavro.schemaless_reader(body, known.parsed, None if reader is known.parsed else reader)
            known.check(record)
        except OutOfRange as error:
            raise UndecodableRecord(f"A number of the record can't be used: {error}.") from error
        except DECODE_ERRORS as error:
            raise UndecodableRecord(
                f"The bytes do not decode by schema {schema_id}: {type(error).__name__}."
            ) from error
        if body.tell() != len(data):
            raise UndecodableRecord(
                f"{len(data) - body.tell()} bytes are left over after decoding by schema {schema_id}."
            )
        if not isinstance(record, dict):
            raise UndecodableRecord(f"Schema {schema_id} describes a {type(record).__name__}, a record was expected.")
        return record

    def encoder(self, subject: str, schema: str, *, register: bool = False) -> Encoder:
        """Return an encoder for one subject. With `register` the schema is registered; otherwise it must exist (producers in
        production do not register). Raises UnknownSchema, Conflict, Unreachable."""
        found = self._registry.register(subject, schema) if register else self._registry.lookup(subject, schema)
        if found is None:
            raise UnknownSchema(
                f"The registry does not have this version's schema under {subject!r}.",
                next_step="Run `sluice topics apply` to register the schemas of this version.",
            )
        known = self._by_id.get(found)
        if known is None:
            parsed = fastavro.parse_schema(json.loads(schema))
            known = self._by_id.setdefault(found, _KnownSchema(parsed, number_check(parsed)))
        return Encoder(found, known.parsed)

    def encoder_like(self, data: bytes) -> Encoder:
        """Return an encoder for the schema that wrote a record. Raises UndecodableRecord, UnknownSchema, Unreachable."""
        return Encoder(schema_id_of(data), self.schema_of(data))

    def schema_of(self, data: bytes) -> Any:
        """Return the parsed schema that wrote a record. Raises UndecodableRecord, UnknownSchema, Unreachable."""
        schema_id = schema_id_of(data)
        return (self._by_id.get(schema_id) or self._fetch(schema_id)).parsed

    def typed(self, cls: type[T], subject: str, schema: str, *, register: bool = False) -> TypedCodec[T]:
        """Return an encoder and decoder for one dataclass. Raises as `encoder`."""
        return TypedCodec(self, cls, self.encoder(subject, schema, register=register))

    def _fetch(self, schema_id: int) -> _KnownSchema:
        if schema_id > LARGEST_ID:  # no registry gives such an id, and some answer to it with an error of their own
            raise UnknownSchema(f"{schema_id} is not the id of a schema.")
        if schema_id in self._rejected:
            raise UndecodableRecord(self._rejected[schema_id])
        text = self._registry.schema_by_id(schema_id)
        try:
            parsed = parse_untrusted(text)
            known = _KnownSchema(parsed, number_check(parsed), values_per_byte(parsed))
        except UnsafeSchema as error:
            self._rejected[schema_id] = f"Schema {schema_id} is not used for decoding: {error}."
            raise UndecodableRecord(self._rejected[schema_id]) from error
        except (*DECODE_ERRORS, SchemaParseException) as error:
            raise UnknownSchema(f"Schema {schema_id} in the registry is not Avro: {error}.") from error
        self._by_id[schema_id] = known
        return known


class Encoder:
    """Encodes plain dicts as framed bytes."""

    def __init__(self, schema_id: int, parsed: Any) -> None:
        self.schema_id = schema_id
        self.parsed = parsed
        self._frame = FRAME.pack(MAGIC, schema_id)
        self._check = number_check(parsed)
        self._fields = {field["name"]: (field["type"], number_check(field["type"])) for field in parsed["fields"]}

    def type_of(self, name: str) -> Any:
        """Return the parsed type of a field. Raises KeyError if there is no such field."""
        return self._fields[name][0]

    def encode(self, plain: dict[str, Any]) -> bytes:
        """Encode a record with its frame. Raises InvalidInput if a value does not fit the schema."""
        return write(self.parsed, self._check, plain, self._frame)

    def encode_field(self, name: str, value: Any) -> bytes:
        """Encode the value of one field, without frame. Raises InvalidInput, and KeyError if there is no such field."""
        return write(*self._fields[name], value)


class TypedCodec(Generic[T]):
    """Encoder and decoder bound to one dataclass."""

    def __init__(self, codec: Codec, cls: type[T], encoder: Encoder) -> None:
        self._codec = codec
        self._cls = cls
        self._encoder = encoder

    def encode(self, value: T) -> bytes:
        return self._encoder.encode(to_plain(value))

    def decode(self, data: bytes) -> T:
        plain = self._codec.decode(data, self._encoder.parsed)
        try:
            return from_plain(self._cls, plain)
        except DECODE_ERRORS as error:
            raise UndecodableRecord(f"The record lacks a field of {self._cls.__name__}: {error}.") from error
