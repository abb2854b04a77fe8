"""Caches schemas by id on disk, so that decoding works while the registry is down. The schema of an id never changes.

One folder per registry (ids of different registries are unrelated), one file per id: the sha256 of the schema, a newline, the
schema. A file that does not match its hash is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from connectors.registry import HttpRegistry
from schemas.errors import UnknownSchema

#: Seconds for which "no such id" is cached. A producer may register the schema at any moment.
UNKNOWN_TTL_S = 5.0
#: Limit of cached unknown ids. They come from garbage in topics, so there may be any number of them.
UNKNOWN_LIMIT = 1024


class CachedRegistry:
    """Implements schemas.registry.SchemaRegistry over another registry. Reads of cached ids need no network."""

    def __init__(self, registry: HttpRegistry, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._folder = folder / hashlib.sha256(registry.url.encode()).hexdigest()[:16]
        self._clock = clock
        self._schemas: dict[int, str] = {}
        self._unknown: dict[int, float] = {}

    @property
    def url(self) -> str:
        return self._registry.url

    def schema_by_id(self, schema_id: int) -> str:
        schema = self._schemas.get(schema_id) or self._read(schema_id) or self._request(schema_id)
        self._schemas[schema_id] = schema
        return schema

    def register(self, subject: str, schema: str) -> int:
        return self._registry.register(subject, schema)

    def lookup(self, subject: str, schema: str) -> int | None:
        return self._registry.lookup(subject, schema)

    def check(self, subject: str, schema: str) -> list[str]:
        return self._registry.check(subject, schema)

    def set_compatibility(self, subject: str | None, level: str) -> None:
        self._registry.set_compatibility(subject, level)

    def versions(self, subject: str) -> list[int]:
        return self._registry.versions(subject)

    def subjects(self) -> list[str]:
        return self._registry.subjects()

    def close(self) -> None:
        self._registry.close()

    def _request(self, schema_id: int) -> str:
        unknown_since = self._unknown.get(schema_id)
        if unknown_since is not None and self._clock() - unknown_since < UNKNOWN_TTL_S:
            raise UnknownSchema(f"The registry at {self.url} has no schema with id {schema_id}.")
        try:
            schema = self._registry.schema_by_id(schema_id)
        except UnknownSchema:
            self._remember_unknown(schema_id)
            raise
        self._write(schema_id, schema)
        return schema

    def _remember_unknown(self, schema_id: int) -> None:
        if len(self._unknown) >= UNKNOWN_LIMIT:
            self._unknown.clear()
        self._unknown[schema_id] = self._clock()

    def _read(self, schema_id: int) -> str | None:
        try:
            digest, _, schema = self._file(schema_id).read_bytes().partition(b"\n")
        except OSError:
            return None
        return schema.decode() if digest == _digest(schema) else None

    def _write(self, schema_id: int, schema: str) -> None:
        """Write the file if possible. Without it (on a full disk) only the cache is lost, not the job."""
        file = self._file(schema_id)
        part = file.with_suffix(f".{uuid.uuid4().hex}.part")
        data = schema.encode()
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_digest(data) + b"\n" + data)
            os.replace(part, file)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)

    def _file(self, schema_id: int) -> Path:
        return self._folder / f"{int(schema_id)}.avsc"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
