"""Uploads in pieces: tus 1.0, resumable after a broken connection, and by another gateway."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import http_limits, uploads_tus
from gateway.ports import Ports
from gateway.uploads_tus import PATH
from tests.harness.archives import zipped
from tests.harness.gateway_app import memory_settings, serving
from tests.unit.gateway.uploads_kit import asgi, run, stored

TUS = {"Tus-Resumable": "1.0.0"}
DATA = os.urandom(1000)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_tus, "PIECE", 100)


def metadata(**values: str) -> dict[str, str]:
    pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()]
    return {"Upload-Metadata": ",".join(pairs)}


async def create(client: httpx.AsyncClient, length: int = len(DATA), headers: Mapping[str, str] | None = None) -> str:
    made = await client.post(PATH, headers=TUS | {"Upload-Length": str(length), **(headers or {})})
    assert made.status_code == 201, made.text
    return made.headers["location"]


def piece(offset: int, **headers: str) -> dict[str, str]:
    return TUS | {"Upload-Offset": str(offset), "Content-Type": uploads_tus.PIECE_TYPE} | headers


async def offset(client: httpx.AsyncClient, at: str) -> int:
    answer = await client.head(at, headers=TUS)
    return int(answer.headers["upload-offset"]) if answer.status_code == 200 else -answer.status_code


def upload_of(at: str) -> str:
    return f"/v1/uploads/{at.rpartition('/')[2]}"


def test_an_upload_in_pieces_ends_as_an_upload_in_one_request_does(tmp_path: Path) -> None:
    labels = {"job_role": "LIS", "상태": "확인"}
    about = metadata(
        filename="a/scan.nii", filetype="image/png", kind="scan", case_id="7", color="red", labels=json.dumps(labels)
    )

    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client, headers=about)
        begun = await client.head(at, headers=TUS)
        answers = [
            await client.patch(at, content=DATA[start : start + 400], headers=piece(start)) for start in (0, 400, 800)
        ]
        return begun, answers, await offset(client, at), (await client.get(upload_of(at))).json()

    begun, answers, end, upload = run(tmp_path, use)
    sha256 = hashlib.sha256(DATA).hexdigest()
    assert (begun.headers["upload-length"], begun.headers["upload-offset"]) == ("1000", "0")
    assert begun.headers["upload-metadata"] == about["Upload-Metadata"]
    assert begun.headers["cache-control"] == "no-store"
    assert "upload-expires" in begun.headers
    assert [(a.status_code, a.headers["upload-offset"]) for a in answers] == [(204, "400"), (204, "800"), (204, "1000")]
    assert end == 1000
    assert (upload["claim"]["sha256"], upload["claim"]["content_type"]) == (sha256, "image/png")
    assert (upload["filename"], upload["kind"], upload["case_id"]) == ("scan.nii", "scan", "7")
    assert upload["labels"] == labels
    assert stored(tmp_path) == [f"sha256/{sha256[:2]}/{sha256}"]  # and no piece


def test_the_options_name_what_the_gateway_can(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return await client.options(PATH), await client.post(PATH, headers={"Upload-Length": "5"})

    answer, without_version = run(tmp_path, use, upload_max_bytes=7)
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == "7"
    assert "sha1" in answer.headers["tus-checksum-algorithm"]
    assert {"creation", "checksum", "expiration", "termination"} <= set(answer.headers["tus-extension"].split(","))
    assert (without_version.status_code, without_version.headers["tus-version"]) == (412, "1.0.0")


def test_a_broken_connection_keeps_what_has_come_and_the_upload_goes_on_from_there(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        messages = [
            {"type": "http.request", "body": DATA[start : start + 70], "more_body": True} for start in (0, 70, 140)
        ]
        await asgi(client, "PATCH", at, [*messages, {"type": "http.disconnect"}], piece(0))
        kept = await offset(client, at)
        rest = await client.patch(at, content=DATA[kept:], headers=piece(kept))
        return kept, rest.status_code, (await client.get(upload_of(at))).json()["claim"]["sha256"]

    assert run(tmp_path, use) == (210, 204, hashlib.sha256(DATA).hexdigest())


def test_a_connection_that_is_silent_keeps_what_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "FILE_PART_S", 0.05)

    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        sent = await asgi(
            client, "PATCH", at, [{"type": "http.request", "body": DATA[:70], "more_body": True}], piece(0)
        )
        return sent[0]["status"], await offset(client, at)

    assert run(tmp_path, use) == (408, 70)


def test_another_gateway_goes_on_with_an_upload(tmp_path: Path) -> None:
    async def use() -> Any:
        settings = memory_settings(tmp_path)
        async with serving(settings) as (first, _):
            at = await create(first)
            await first.patch(at, content=DATA[:500], headers=piece(0))
        async with serving(settings) as (second, _):
            assert await offset(second, at) == 500
            await second.patch(at, content=DATA[500:], headers=piece(500))
            return (await second.get(upload_of(at))).json()["claim"]["sha256"]

    assert asyncio.run(use()) == hashlib.sha256(DATA).hexdigest()


def test_an_upload_whose_bytes_are_there_is_accepted_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway was killed after the last piece was stored, before the upload was accepted."""

    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        with monkeypatch.context() as patched:
            patched.setattr(ports.uploads, "_finish", lambda _: asyncio.sleep(0))
            await client.patch(at, content=DATA, headers=piece(0))
        return await offset(client, at), (await client.get(upload_of(at))).status_code

    assert run(tmp_path, use) == (1000, 200)


def test_two_requests_that_append_at_once_do_not_mix_their_bytes(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        answers = await asyncio.gather(
            *(client.patch(at, content=bytes([n]) * 1000, headers=piece(0)) for n in range(4))
        )
        while (kept := await offset(client, at)) < 1000:
            await client.patch(at, content=b"z" * (1000 - kept), headers=piece(kept))
        claim = (await client.get(upload_of(at))).json()["claim"]
        return {answer.status_code for answer in answers}, claim, stored(tmp_path)

    statuses, claim, left = run(tmp_path, use)
    assert statuses <= {204, 409}
    data = (tmp_path / "objects" / left[0]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == claim["sha256"]
    assert len(left) == 1
    assert all(len(set(data[start : start + 100])) == 1 for start in range(0, 1000, 100))


def test_a_piece_at_another_offset_or_beyond_the_length_is_refused(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        elsewhere = await client.patch(at, content=b"x", headers=piece(5))
        too_long = await client.patch(at, content=DATA + b"x", headers=piece(0))
        untyped = await client.patch(at, content=b"x", headers=TUS | {"Upload-Offset": "0"})
        return elsewhere, too_long, untyped

    elsewhere, too_long, untyped = run(tmp_path, use)
    assert (elsewhere.status_code, elsewhere.headers["upload-offset"]) == (409, "0")
    assert (too_long.status_code, untyped.status_code) == (413, 415)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_with_another_checksum_changes_nothing(algorithm: str, tmp_path: Path) -> None:
    def checksum(data: bytes) -> dict[str, str]:
        return {"Upload-Checksum": f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"}

    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        wrong = await client.patch(at, content=DATA[:500], headers=piece(0, **checksum(b"other")))
        after = await offset(client, at), stored(tmp_path)
        right = await client.patch(at, content=DATA[:500], headers=piece(0, **checksum(DATA[:500])))
        return wrong.status_code, after, right.status_code, await offset(client, at)

    assert run(tmp_path, use) == (460, (0, []), 204, 500)


@pytest.mark.parametrize(
    ("data", "about"),
    [(DATA, {"sha256": "0" * 64}), (zipped("../x"), {}), (DATA, {"filetype": "application/zip"})],
    ids=["another hash", "traversal", "no zip"],
)
def test_an_upload_that_is_refused_at_its_end_is_gone(data: bytes, about: dict[str, str], tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client, len(data), metadata(**about))
        end = await client.patch(at, content=data, headers=piece(0))
        return end.status_code, await offset(client, at)

    assert run(tmp_path, use) == (422, -404)
    assert stored(tmp_path) == []


def test_an_upload_that_is_given_up_is_gone(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        at = await create(client)
        await client.patch(at, content=DATA[:500], headers=piece(0))
        return (await client.delete(at, headers=TUS)).status_code, await offset(client, at)

    assert run(tmp_path, use) == (204, -404)
    assert stored(tmp_path) == []


def test_a_length_may_come_later_and_the_first_piece_at_once(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        made = await client.post(
            PATH,
            content=DATA[:300],
            headers=TUS | {"Upload-Defer-Length": "1", "Content-Type": uploads_tus.PIECE_TYPE},
        )
        at = made.headers["location"]
        rest = await client.patch(at, content=DATA[300:], headers=piece(300, **{"Upload-Length": "1000"}))
        return made.headers["upload-offset"], rest.status_code, (await client.get(upload_of(at))).status_code

    assert run(tmp_path, use) == ("300", 204, 200)


def test_an_empty_upload_is_accepted_at_once(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return (await client.get(upload_of(await create(client, 0)))).json()["claim"]["size"]

    assert run(tmp_path, use) == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upload-Length": "x"}, 400),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "9" * 30}, 400),
        ({"Upload-Length": "5", "Upload-Defer-Length": "1"}, 400),
        ({"Upload-Length": "99999999999"}, 413),
        ({"Upload-Length": "5", "Upload-Metadata": "filename ?"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": b"filename \xc3\xa9"}, 400),
        ({"Upload-Length": "5", "Upload-Checksum": b"sha1 \xc3\xa9", "Content-Type": uploads_tus.PIECE_TYPE}, 400),
        ({"Upload-Length": "5", **metadata(sha256="x")}, 422),
        ({"Upload-Length": "5", **metadata(filetype="no type")}, 422),
        ({"Upload-Length": "5", **metadata(case_id="\0")}, 422),
        ({"Upload-Length": "5", **metadata(labels="job_role=LIS")}, 422),
        ({"Upload-Length": "5", **metadata(labels='{"a": 1}')}, 422),
        ({"Upload-Length": "5", **metadata(labels='{"a": "\\ud800"}')}, 422),
    ],
)
def test_a_creation_that_can_not_be_used_is_refused(headers: dict[str, Any], status: int, tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return (await client.post(PATH, headers=TUS | headers)).status_code

    assert run(tmp_path, use) == status
