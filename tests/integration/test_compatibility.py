"""The current schemas are FULL_TRANSITIVE compatible with every release, checked by the real registry."""

from __future__ import annotations

import json
import uuid

import pytest

from connectors.registry import HttpRegistry
from schemas import release

pytestmark = pytest.mark.stack

CURRENT = release.current()
PAIRS = [(version, role) for version, schemas in release.released().items() for role in schemas]


@pytest.fixture
def registry(stack: dict[str, str]) -> HttpRegistry:
    return HttpRegistry(stack["SCHEMA_REGISTRY_URL"])


def test_released_schemas_are_kept() -> None:
    assert ("0.1.0", "requests.echo") in PAIRS


@pytest.mark.parametrize(("version", "role"), PAIRS)
def test_a_released_and_the_current_schema_are_compatible_both_ways(
    registry: HttpRegistry, version: str, role: str
) -> None:
    subject = f"{uuid.uuid4().hex}-{role}"
    registry.register(subject, release.released()[version][role])
    registry.set_compatibility(subject, "FULL_TRANSITIVE")
    assert registry.check(subject, CURRENT[role]) == []


def test_a_new_field_without_default_is_not_compatible(registry: HttpRegistry) -> None:
    subject = f"{uuid.uuid4().hex}-breaking"
    registry.register(subject, CURRENT["progress"])
    registry.set_compatibility(subject, "FULL_TRANSITIVE")
    broken = json.loads(CURRENT["progress"])
    broken["fields"].append({"name": "breaking", "type": "string"})
    assert registry.check(subject, json.dumps(broken)) != []
