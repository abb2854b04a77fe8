"""Promises of every schema registry: the real one over HTTP, the same behind its cache on disk, and the twin in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.registry import HttpRegistry
from connectors.schema_cache import CachedRegistry
from schemas.errors import Conflict, UnknownSchema, UsageError
from schemas.registry import MemoryRegistry, SchemaRegistry


def record(*fields: dict[str, object]) -> str:
    """Make a schema that no other test registers."""
    name = f"R{uuid.uuid4().hex}"
    return json.dumps({"type": "record", "name": name, "namespace": "sluice.test", "fields": list(fields)})


def with_field(schema: str, field: dict[str, object]) -> str:
    parsed = json.loads(schema)
    return json.dumps(parsed | {"fields": [*parsed["fields"], field]})


TEXT: dict[str, object] = {"name": "text", "type": "string"}
OPTIONAL: dict[str, object] = {"name": "note", "type": ["null", "string"], "default": None}
REQUIRED: dict[str, object] = {"name": "count", "type": "int"}


@pytest.fixture
def subject() -> str:
    return f"test.{uuid.uuid4().hex}-value"


@pytest.fixture
def http(stack: dict[str, str]) -> Iterator[HttpRegistry]:
    registry = HttpRegistry(stack["SCHEMA_REGISTRY_URL"])
    yield registry
    registry.close()


@pytest.fixture(
    params=["memory", pytest.param("http", marks=pytest.mark.stack), pytest.param("cached", marks=pytest.mark.stack)]
)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> SchemaRegistry:
    if request.param == "memory":
        return MemoryRegistry()
    http: HttpRegistry = request.getfixturevalue("http")
    return http if request.param == "http" else CachedRegistry(http, tmp_path)


def test_a_registered_schema_is_found_by_its_id_and_by_itself(registry: SchemaRegistry, subject: str) -> None:
    schema = record(TEXT)
    schema_id = registry.register(subject, schema)
    assert json.loads(registry.schema_by_id(schema_id)) == json.loads(schema)
    assert registry.lookup(subject, schema) == schema_id
    assert subject in registry.subjects()


def test_registering_again_finds_the_same_id(registry: SchemaRegistry, subject: str) -> None:
    schema = record(TEXT)
    assert registry.register(subject, schema) == registry.register(subject, schema)


def test_two_schemas_of_a_subject_have_two_ids_that_both_stay_readable(registry: SchemaRegistry, subject: str) -> None:
    old = record(TEXT)
    new = with_field(old, OPTIONAL)
    ids = [registry.register(subject, schema) for schema in (old, new)]
    assert [json.loads(registry.schema_by_id(schema_id)) for schema_id in ids] == [json.loads(old), json.loads(new)]


def test_a_schema_or_a_subject_that_was_never_registered_has_no_id(registry: SchemaRegistry, subject: str) -> None:
    assert registry.lookup(subject, record(TEXT)) is None
    registry.register(subject, record(TEXT))
    assert registry.lookup(subject, record(TEXT)) is None


@pytest.mark.parametrize("schema_id", [2_000_000_000, 0, -1])
def test_an_id_that_was_never_given_is_unknown(registry: SchemaRegistry, schema_id: int) -> None:
    with pytest.raises(UnknownSchema, match=str(schema_id)):
        registry.schema_by_id(schema_id)


def test_a_subject_without_versions_is_compatible_with_anything(registry: SchemaRegistry, subject: str) -> None:
    assert registry.check(subject, record(TEXT)) == []


@pytest.mark.stack
def test_under_full_transitive_an_optional_field_is_compatible_and_a_required_one_is_not(
    http: HttpRegistry, subject: str
) -> None:
    schema = record(TEXT)
    http.register(subject, schema)
    http.set_compatibility(subject, "FULL_TRANSITIVE")
    assert http.check(subject, with_field(schema, OPTIONAL)) == []
    assert http.check(subject, with_field(schema, REQUIRED)) != []
    with pytest.raises(Conflict):
        http.register(subject, with_field(schema, REQUIRED))
    http.register(subject, with_field(schema, OPTIONAL))
    assert http.versions(subject) == [1, 2]


@pytest.mark.stack
def test_a_text_that_is_not_a_schema_is_a_usage_error(http: HttpRegistry, subject: str) -> None:
    with pytest.raises(UsageError):
        http.register(subject, "no schema")


@pytest.mark.stack
def test_a_level_that_does_not_exist_is_a_usage_error(http: HttpRegistry, subject: str) -> None:
    http.register(subject, record(TEXT))
    with pytest.raises(UsageError):
        http.set_compatibility(subject, "NONSENSE")


@pytest.mark.stack
def test_a_subject_may_have_any_name(http: HttpRegistry) -> None:
    subject = f"a/b c:키?&%2F-{uuid.uuid4().hex}"
    http.register(subject, record(TEXT))
    assert http.versions(subject) == [1]
    assert subject in http.subjects()
