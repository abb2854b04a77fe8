"""What a child is told once, when it starts: a part of the settings (no secrets), and what the parent has found out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from schemas.registry import SchemaRegistry
from streams.settings import Settings

#: What a processor's process may know. Credentials of the database and of callbacks stay in the parent.
PASSED_ON = {
    "home",
    "objects_url",
    "topic_prefix",
    "weights_dir",
    "max_batch",
    "rollout",
    "load_timeout_s",
    "log_level",
    "log_format",
}


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """Travels as JSON."""

    processor: str
    worker_id: str
    device: str
    scratch: str
    settings: dict[str, Any]
    topics: list[list[str]]  # name and topic id, by lane
    schema_ids: dict[str, int]  # subject → the id of our schema

    def plain(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def passed_on(settings: Settings) -> dict[str, Any]:
    """The settings that a child gets, by field name."""
    return settings.model_dump(mode="json", include=PASSED_ON) | {"schema_registry_url": settings.registry_url}


class PinnedRegistry:
    """A registry that need not be asked for the ids of our own schemas, so that a child restarts while it is down."""

    def __init__(self, registry: SchemaRegistry, ids: dict[str, int]) -> None:
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
