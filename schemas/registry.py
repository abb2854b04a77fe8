"""The schema registry as a port, and its in-memory twin. The one over HTTP lives in `connectors/registry.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from schemas.errors import UnknownSchema


class SchemaRegistry(Protocol):
    """What the codec, `sluice topics` and `sluice doctor` need of a registry. Thread-safe.

    Every call raises Unreachable when the registry does not answer within its timeout.
    """

    def schema_by_id(self, schema_id: int) -> str:
        """The schema's JSON text. Raises UnknownSchema. An id's schema never changes, so answers may be kept for ever."""
        ...

    def register(self, subject: str, schema: str) -> int:
        """Register `schema` under `subject` (or find it there) and return its id. Raises Conflict when incompatible."""
        ...

    def lookup(self, subject: str, schema: str) -> int | None:
        """The id under which exactly this schema is registered, else None."""
        ...

    def check(self, subject: str, schema: str) -> list[str]:
        """Why `schema` is not compatible with the subject's versions; empty when it is, or when there are none."""
        ...

    def set_compatibility(self, subject: str | None, level: str) -> None:
        """Set the level of one subject, or the registry's default."""
        ...

    def subjects(self) -> list[str]: ...


class MemoryRegistry:
    """The twin for tests and for running without Kafka: same promises, no process, no compatibility rules."""

    _named: ClassVar[dict[str, MemoryRegistry]] = {}

    @classmethod
    def at(cls, address: str) -> MemoryRegistry | None:
        """The registry behind an address `memory:NAME`, made at its first use; None for any other address."""
        return cls._named.setdefault(address, cls()) if address.startswith("memory:") else None

    @classmethod
    def forget(cls, name: str) -> None:
        cls._named.pop(f"memory:{name}", None)

    def __init__(self) -> None:
        self._schemas: list[str] = []
        self._subjects: dict[str, list[int]] = {}

    def schema_by_id(self, schema_id: int) -> str:
        if not 1 <= schema_id <= len(self._schemas):
            raise UnknownSchema(f"The registry has no schema with id {schema_id}.")
        return self._schemas[schema_id - 1]

    def register(self, subject: str, schema: str) -> int:
        if schema not in self._schemas:
            self._schemas.append(schema)
        schema_id = self._schemas.index(schema) + 1
        ids = self._subjects.setdefault(subject, [])
        if schema_id not in ids:
            ids.append(schema_id)
        return schema_id

    def lookup(self, subject: str, schema: str) -> int | None:
        return next((i for i in self._subjects.get(subject, []) if self._schemas[i - 1] == schema), None)

    def check(self, subject: str, schema: str) -> list[str]:
        return []

    def set_compatibility(self, subject: str | None, level: str) -> None:
        return None

    def subjects(self) -> list[str]:
        return sorted(self._subjects)


class PinnedRegistry:
    """A registry whose ids of known subjects are given, so that a worker's process can restart while the registry is down."""

    def __init__(self, registry: SchemaRegistry, ids: Mapping[str, int]) -> None:
        self._registry = registry
        self._ids = ids

    def lookup(self, subject: str, schema: str) -> int | None:
        return self._ids[subject] if subject in self._ids else self._registry.lookup(subject, schema)

    def schema_by_id(self, schema_id: int) -> str:
        return self._registry.schema_by_id(schema_id)

    def register(self, subject: str, schema: str) -> int:
        return self._registry.register(subject, schema)

    def check(self, subject: str, schema: str) -> list[str]:
        return self._registry.check(subject, schema)

    def set_compatibility(self, subject: str | None, level: str) -> None:
        self._registry.set_compatibility(subject, level)

    def subjects(self) -> list[str]:
        return self._registry.subjects()
