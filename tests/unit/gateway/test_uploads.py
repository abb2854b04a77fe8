"""Uploads in one request: stored whole under their hash, or refused with nothing left."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from gateway.ports import Ports
from gateway.principal import Principal
from schemas.errors import InvalidInput
from schemas.records import Claim
from streams.admin.tail import last
from tests.harness.archives import zipped
from tests.harness.waiting import wait_until
from tests.unit.gateway.uploads_kit import asgi, run, stored


def digest(data: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


LABELS = ["job_role=LIS", "note=a=b 확인"]


def test_an_upload_is_stored_under_its_hash_and_known_by_its_id(tmp_path: Path) -> None:
    data = b"volume" * 1000

    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        made = await client.post(
            "/v1/uploads",
            params={"filename": "../../사례 7/scan.nii", "kind": "mr-volume", "case_id": "4711", "label": LABELS},
            content=data,
            headers={"Content-Type": "application/x-nifti", **digest(data)},
        )
        return made, await client.get(made.headers["location"])

    made, again = run(tmp_path, use)
    body, sha256 = made.json(), hashlib.sha256(data).hexdigest()
    assert made.status_code == 201
    assert again.json() == body
    assert body["claim"] | {"uri": ""} == {
        "uri": "",
        "sha256": sha256,
        "size": len(data),
        "content_type": "application/x-nifti",
    }
    assert Path(unquote(urlsplit(body["claim"]["uri"]).path)).read_bytes() == data
    assert (body["filename"], body["kind"], body["case_id"]) == ("scan.nii", "mr-volume", "4711")
    assert body["labels"] == {"job_role": "LIS", "note": "a=b 확인"}
    assert stored(tmp_path) == [f"sha256/{sha256[:2]}/{sha256}"]


@pytest.mark.parametrize("label", ["no equals sign", "=no name", "a=\0", f"{'a' * 513}=b", f"a={'b' * 5000}"])
def test_a_label_that_can_not_be_used_is_refused(label: str, tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return (await client.post("/v1/uploads", params={"label": ["fine=yes", label]}, content=b"x")).status_code

    assert run(tmp_path, use) == 422


def test_the_event_of_an_upload_is_published(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        made = (await client.post("/v1/uploads", content=b"x")).json()
        records = await asyncio.to_thread(
            wait_until, lambda: last(ports.settings, ports.settings.topics.uploads, 5), lambda: "no event"
        )
        return made, [record.value["upload_id"] for record in records]

    made, published = run(tmp_path, use)
    assert published == [made["upload_id"]]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (digest(b"other bytes"), "CLAIM_MISMATCH"),
        ({"Content-Digest": "sha-256=:bm8=:"}, "INVALID_INPUT"),
        ({"Content-Digest": "sha-256=nothing"}, "INVALID_INPUT"),
        ({"Content-Digest": "md5=:bm8=:"}, "INVALID_INPUT"),
        ({"Content-Type": "no type"}, "INVALID_INPUT"),
        ({"Content-Type": "application/zip"}, "INVALID_INPUT"),
    ],
)
def test_bytes_with_another_hash_or_type_are_refused_and_nothing_is_stored(
    headers: dict[str, str], code: str, tmp_path: Path
) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return await client.post("/v1/uploads", content=b"bytes", headers=headers)

    answer = run(tmp_path, use)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert stored(tmp_path) == []


@pytest.mark.parametrize("data", [zipped("../x"), zipped("zeros", data=bytes(70 << 20))], ids=["traversal", "bomb"])
def test_a_harmful_archive_is_refused_whatever_its_type(data: bytes, tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return await client.post("/v1/uploads", content=data)

    answer = run(tmp_path, use)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_INPUT")
    assert "zip" in answer.json()["detail"]
    assert stored(tmp_path) == []


def test_a_body_over_the_limit_is_refused_before_or_while_it_comes(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return [
            await client.post("/v1/uploads", content=content)  # the second has no Content-Length
            for content in (b"x" * 1001, chunks())
        ] + [await client.post("/v1/uploads", content=b"x" * 1000)]

    stated, streamed, fits = run(tmp_path, use, upload_max_bytes=1000)
    assert [answer.status_code for answer in (stated, streamed, fits)] == [413, 413, 201]
    assert len(stored(tmp_path)) == 1


def test_a_connection_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": b"x" * (2 << 20), "more_body": True},
            {"type": "http.disconnect"},
        ]
        await asgi(client, "POST", "/v1/uploads", messages)

    run(tmp_path, use)
    assert stored(tmp_path) == []


class Tenants:
    async def principal(self, token: str) -> Principal | None:
        return Principal(token, frozenset({"upload", "submit"}), token)


def test_an_upload_is_another_tenants_neither_to_read_nor_to_use(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        ports.authenticator = Tenants()
        made = (await client.post("/v1/uploads", content=b"x", headers=bearer("a"))).json()
        path, claim = f"/v1/uploads/{made['upload_id']}", Claim(**made["claim"])
        assert (await client.get(path, headers=bearer("a"))).status_code == 200
        assert (await client.get(path, headers=bearer("b"))).status_code == 404
        await ports.uploads.check_owned("a", [claim])
        others = [
            replace(claim, sha256="0" * 64),
            replace(claim, uri=claim.uri + "/../x"),
            replace(claim, uri="file:///x"),
        ]
        for tenant, claimed in (("b", claim), *(("a", other) for other in others)):
            with pytest.raises(InvalidInput, match="not an upload of this tenant"):
                await ports.uploads.check_owned(tenant, [claimed])
        job = {"processor": "segmentation", "input": {"volume": made["claim"]}}
        answers = [await client.post("/v1/jobs", json=job, headers=bearer(tenant)) for tenant in ("b", "a")]
        assert [answer.status_code for answer in answers] == [422, 202]

    run(tmp_path, use)


def bearer(tenant: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {tenant}"}


@pytest.mark.parametrize("upload_id", ["x", "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10", "..%2Fx"])
def test_an_unknown_upload_is_not_found(upload_id: str, tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return await client.get(f"/v1/uploads/{upload_id}"), await client.post(f"/v1/uploads/{upload_id}/complete")

    assert [answer.status_code for answer in run(tmp_path, use)] == [404, 404]


def test_a_local_store_takes_no_presigned_uploads_and_says_what_to_use(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> Any:
        return await client.post("/v1/uploads/presigned", json={"size": 5})

    answer = run(tmp_path, use)
    assert answer.status_code == 409
    assert "tus" in answer.json()["next_step"]
