"""Port of the schema registry, and a registry in memory. `connectors/registry.py` has the client for HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from schemas.errors import UnknownSchema


class SchemaRegistry(Protocol):
    """Registry as used by the codec, `sluice topics` and `sluice doctor`. Thread-safe.

    Every call raises Unreachable if the registry does not answer within its timeout.
    """

    def schema_by_id(self, schema_id: int) -> str:
        """Return the schema's JSON text, which never changes and may be cached for ever. Raises UnknownSchema."""
        ...

    def register(self, subject: str, schema: str) -> int:
        """Register `schema` under `subject`, if it is not there, and return its id. Raises Conflict if it is incompatible."""
        ...

    def lookup(self, subject: str, schema: str) -> int | None:
        """Return the id under which exactly this schema is registered, else None."""
        ...

    def check(self, subject: str, schema: str) -> list[str]:
        """Return why `schema` is incompatible with the subject's versions; empty if it is compatible or there are none."""
        ...

    def set_compatibility(self, subject: str | None, level: str) -> None:
        """Set the compatibility level of one subject, or the registry's default."""
        ...

    def subjects(self) -> list[str]: ...


class MemoryRegistry:
    """Registry in memory, for tests and for running without Kafka. It checks no compatibility."""

    _named: ClassVar[dict[str, MemoryRegistry]] = {}

    @classmethod
    def at(cls, address: str) -> MemoryRegistry | None:
        """Return the registry of an address `memory:NAME`, created at first use; None for any other address."""
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
