"""The short way of a submit answers as the usual one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import submit_route
from gateway.principal import Principal
from tests.harness.gateway_app import memory_settings, serving

ECHO = {"processor": "echo", "input": {"message": "hello"}}
GOOD = json.dumps(ECHO)


def with_token(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


class _Some:
    """A token is a scope; `bad` is none."""

    async def principal(self, token: str) -> Principal | None:
        return None if token == "bad" else Principal("clinic", frozenset({token}), token)


Request = tuple[str | bytes, dict[str, str]]


def answers(home: Path, requests: Sequence[Request]) -> list[list[tuple[int, Any]]]:
    """Submit each by the short way and by the usual one, which a content type with a charset takes; return both answers."""

    async def run() -> list[list[tuple[int, Any]]]:
        async with serving(memory_settings(home)) as (client, ports):
            ports.authenticator = _Some()
            return [
                [await _answer(client, body, {"Content-Type": kind, **own}) for kind in KINDS] for body, own in requests
            ]

    return asyncio.run(run())


KINDS = ("application/json", "application/json; charset=utf-8")
#: Fields that differ from job to job.
OWN = {"job_id", "links", "created_at", "updated_at", "queue"}


async def _answer(client: httpx.AsyncClient, body: str | bytes, headers: dict[str, str]) -> tuple[int, Any]:
    answer = await client.post("/v1/jobs", content=body, headers=headers)
    content = answer.json()
    return answer.status_code, {name: value for name, value in content.items() if name not in OWN}


BODIES: list[tuple[str | bytes, int]] = [
    (GOOD, 202),
    (json.dumps({**ECHO, "labels": {"ward": "7"}, "deadline": "2033-01-01T00:00:00Z"}), 202),
    (json.dumps({**ECHO, "colour": "red"}), 422),
    (json.dumps({**ECHO, "processor": 7}), 422),
    (json.dumps({**ECHO, "processor": "ehco"}), 422),
    (json.dumps({**ECHO, "input": {"message": 7}}), 422),
    ('{"processor": "echo", "input": {"message": NaN}}', 422),
    ("null", 422),
    ("", 422),
    ("[1]", 422),
    ("{", 400),
    (b"\xff\xfe", 400),
    ("[" * 100_000, 400),
]
CALLERS: list[tuple[dict[str, str], int]] = [
    ({}, 401),
    (with_token("bad"), 401),
    ({"Authorization": "Basic submit"}, 401),
    (with_token("read"), 403),
    ({**with_token("submit"), "Idempotency-Key": ""}, 422),
    ({**with_token("submit"), "Idempotency-Key": "k" * 300}, 422),
]


def test_every_body_and_caller_gets_the_same_answer_by_both_ways(tmp_path: Path) -> None:
    requests = [(body, with_token("submit")) for body, _ in BODIES] + [(GOOD, headers) for headers, _ in CALLERS]
    both = answers(tmp_path, requests)
    assert [short for short, _ in both] == [usual for _, usual in both]
    assert [short[0] for short, _ in both] == [status for _, status in [*BODIES, *CALLERS]]


def test_a_key_counts_on_both_ways(tmp_path: Path) -> None:
    ((short, usual),) = answers(tmp_path, [(GOOD, {**with_token("submit"), "Idempotency-Key": "order-7"})])
    assert (short[0], usual[0]) == (202, 200), "the second is the first one's job"


def test_a_well_formed_submit_takes_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def noted(request: Any) -> Principal:
        asked.append(request.headers["content-type"])
        return Principal("clinic", frozenset({"submit"}), "noted")

    monkeypatch.setattr(submit_route, "submitter", noted)
    answers(tmp_path, [(GOOD, with_token("submit")), ("null", with_token("submit"))])
    assert asked == ["application/json"]
