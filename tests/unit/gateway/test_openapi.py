"""The OpenAPI document, and the JSON schemas of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway.app import ROUTES, create_app
from gateway.brain_tumour.bodies import InferenceRequest
from gateway.json_schema import input_schema
from gateway.ports import Ports
from gateway.video.bodies import VideoRequest
from schemas.records import ECHO, SEGMENTATION
from tests.harness.gateway_app import memory_settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with closing(
        Ports(
            memory_settings(
                tmp_path_factory.mktemp("home"), gateway_brain_tumour=True, gateway_video=True, gateway_research=True
            )
        )
    ) as ports:
        return create_app(ports).openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_error_is_declared_as_a_problem(document: dict[str, Any]) -> None:
    wrong = [
        f"{name} {status}"
        for name, operation in operations(document).items()
        for status, answer in operation["responses"].items()
        if status >= "400"
        and "security" in operation
        and "/api/upload-video/" not in name
        and list(answer.get("content", {})) != ["application/problem+json"]
    ]
    assert wrong == []
    assert "HTTPValidationError" not in str(document)


def test_every_error_of_video_analysis_is_declared_in_the_backends_shape(document: dict[str, Any]) -> None:
    errors = [
        answer["content"]
        for name, operation in operations(document).items()
        for status, answer in operation["responses"].items()
        if "/api/upload-video/" in name and status >= "400"
    ]
    assert len(errors) > 10
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/VideoError"}}}
    assert all(content == body for content in errors)


def test_every_operation_is_described_and_every_json_body_has_an_example(document: dict[str, Any]) -> None:
    undescribed = [name for name, operation in operations(document).items() if not operation.get("description")]
    bare = []
    for name, operation in operations(document).items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None and "example" not in str(_resolved(document, content["schema"])):
            bare.append(name)
    assert (undescribed, bare) == ([], [])


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    [reference, *_] = [each["$ref"] for each in (schema, *schema.get("anyOf", ())) if "$ref" in each]
    return document["components"]["schemas"][reference.rpartition("/")[2]]


def test_an_inputs_json_schema_is_that_of_its_avro_schema() -> None:
    echo = input_schema(ECHO)
    types = {name: {k: v for k, v in each.items() if k != "description"} for name, each in echo["properties"].items()}
    assert types == {
        "message": {"type": "string"},
        "delay_ms": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
        "fail": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    }
    assert (echo["required"], echo["additionalProperties"]) == (["message"], False)
    volume = input_schema(SEGMENTATION)["properties"]["volume"]
    assert set(volume["properties"]) == {"uri", "sha256", "size", "content_type"}
    assert volume["required"] == ["uri", "sha256", "size"]


def bodies() -> Iterator[type[BaseModel]]:
    """Yield the models of all JSON bodies that the gateway takes."""
    yield from (InferenceRequest, VideoRequest)
    for module in ROUTES:
        for route in module.router.routes:
            body = getattr(route, "body_field", None)
            model = None if body is None else body.field_info.annotation
            if isinstance(model, type) and issubclass(model, BaseModel):
                yield model


def numbers_and_booleans(model: type[BaseModel]) -> Iterator[tuple[str, object]]:
    """Yield the fields that JSON gives a number or a boolean, each with a value of the other kind."""
    for name, schema in model.model_json_schema()["properties"].items():
        kinds = {one.get("type") for one in schema.get("anyOf", [schema])}
        if kinds & {"integer", "number"}:
            yield name, True
        elif "boolean" in kinds:
            yield name, 1


def test_no_body_takes_a_boolean_for_a_number_or_a_number_for_a_boolean() -> None:
    checked, taken = 0, []
    for model in set(bodies()):
        for name, wrong in numbers_and_booleans(model):
            checked += 1
            try:
                model.model_validate({name: wrong})
            except ValidationError as error:
                if any(one["loc"][:1] == (name,) for one in error.errors()):
                    continue
            taken.append(f"{model.__name__}.{name}")
    assert taken == []
    assert checked >= 20
