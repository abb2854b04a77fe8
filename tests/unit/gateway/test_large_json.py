from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import large_json
from gateway.large_json import read_json
from tests.harness.gateway_app import memory_settings, serving


@pytest.mark.parametrize("text", ['{"a": [1, {"b": ["é"]}, []], "c": null}', " {} \n", "[1]", '{"a":[[1],"]"]}'])
def test_a_large_body_is_read_as_json_loads_does(text: str) -> None:
    assert read_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", '{"a": [1,}', '{"a": x}', "{} 1", '{"a": [1 2]}', '{"a": '])
def test_a_large_body_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(text.encode())


def test_a_large_batch_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def noted(body: bytes) -> Any:
        read.append(len(body))
        return read_json(body)

    monkeypatch.setattr(large_json, "read_json", noted)

    async def send() -> list[int]:
        async with serving(memory_settings(tmp_path)) as (client, _):
            bodies = [{"processor": "echo", "inputs": [{"message": "x" * length}] * 2} for length in (10, 150_000)]
            return [(await client.post("/v1/batches", json=body)).status_code for body in bodies]

    assert asyncio.run(send()) == [202, 202]
    assert [size > large_json.LARGE for size in read] == [True]
