"""Today's schemas read what every release has written, and the releases read today's: FULL_TRANSITIVE, by the real registry."""

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


def test_a_release_is_kept() -> None:
    assert ("0.1.0", "requests.echo") in PAIRS


@pytest.mark.parametrize(("version", "role"), PAIRS)
def test_a_released_schema_and_todays_are_compatible_both_ways(registry: HttpRegistry, version: str, role: str) -> None:
    subject = f"{uuid.uuid4().hex}-{role}"
    registry.register(subject, release.released()[version][role])
    registry.set_compatibility(subject, "FULL_TRANSITIVE")
    assert registry.check(subject, CURRENT[role]) == []


def test_a_new_field_without_default_would_be_refused(registry: HttpRegistry) -> None:
    subject = f"{uuid.uuid4().hex}-breaking"
    registry.register(subject, CURRENT["progress"])
    registry.set_compatibility(subject, "FULL_TRANSITIVE")
    broken = json.loads(CURRENT["progress"])
    broken["fields"].append({"name": "breaking", "type": "string"})
    assert registry.check(subject, json.dumps(broken)) != []
