"""The object store and uploads on a server with the S3 protocol that checks signatures."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.object_backend import PART
from connectors.objects import ObjectStore
from gateway import uploads_tus
from schemas.errors import StoreUnavailable
from streams.settings import Settings
from tests.harness.archives import zipped
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.s3 import S3Server, s3_server

DATA = os.urandom(2 * PART + 1000)
SHA256 = hashlib.sha256(DATA).hexdigest()
CONTENT = f"sha256/{SHA256[:2]}/{SHA256}"

Use = Callable[[httpx.AsyncClient, httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def server(running: S3Server) -> S3Server:
    for key in running.stored():
        (running.folder / "bucket" / "objects" / key).unlink()
    return running


@pytest.fixture
def settings(server: S3Server, tmp_path: Path) -> Settings:
    made = memory_settings(tmp_path)
    return made.model_copy(update=server.settings)


@pytest.fixture
def store(server: S3Server) -> ObjectStore:
    return ObjectStore(server.url, options=server.options)


def run(settings: Settings, use: Use) -> Any:
    """Call the gateway by the first client, and the object store's own urls by the second."""

    async def used() -> Any:
        async with serving(settings) as (client, _), httpx.AsyncClient(trust_env=False) as outside:
            return await use(client, outside)

    return asyncio.run(used())


def test_files_are_stored_in_parts_fetched_listed_and_deleted(store: ObjectStore, tmp_path: Path) -> None:
    incoming = store.receive()
    for start in range(0, len(DATA), 1 << 20):
        incoming.write(DATA[start : start + (1 << 20)])
    incoming.finish()
    claim = incoming.keep("x/y")
    assert store.fetch(claim, tmp_path / "out").read_bytes() == DATA
    assert store.put_bytes(DATA, "x/y") == claim
    [listed] = store.contents()
    assert (listed.sha256, listed.size) == (SHA256, len(DATA))
    assert store.retire(listed)
    assert [each.sha256 for each in store.retired()] == [SHA256]
    assert store.fetch(claim, tmp_path / "again").read_bytes() == DATA  # taken out of the trash
    assert (store.delete(SHA256), store.delete(SHA256)) == (True, False)


def test_a_wrong_key_is_an_unavailable_store(server: S3Server) -> None:
    store = ObjectStore(server.url, options={**server.options, "secret_access_key": "wrong"})
    with pytest.raises(StoreUnavailable):
        store.put_bytes(b"x")


async def begin(client: httpx.AsyncClient, **about: Any) -> Any:
    answer = await client.post("/v1/uploads/presigned", json={"size": len(DATA), **about})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_presigned_upload_goes_straight_to_the_store_and_is_checked(settings: Settings, server: S3Server) -> None:
    async def use(client: httpx.AsyncClient, outside: httpx.AsyncClient) -> Any:
        begun = await begin(
            client, sha256=SHA256, content_type="x/y", filename="a/b.nii", case_id="7", labels={"role": "LIS"}
        )
        early = await client.post(begun["complete"])
        put = await outside.request(begun["method"], begun["url"], headers=begun["headers"], content=DATA)
        return early, put, [await client.post(begun["complete"]) for _ in range(2)]

    early, put, (done, again) = run(settings, use)
    assert put.status_code == 200
    assert done.status_code == 201
    assert again.json() == done.json()
    assert done.json()["claim"] == {
        "uri": f"{server.url}/{CONTENT}",
        "sha256": SHA256,
        "size": len(DATA),
        "content_type": "x/y",
    }
    assert done.json()["filename"] == "b.nii"
    assert server.stored() == [CONTENT]
    assert (early.status_code, early.json()["code"]) == (409, "CONFLICT")


@pytest.mark.parametrize(
    ("about", "data"),
    [
        ({"sha256": "0" * 64}, DATA),
        ({}, DATA[1:]),
        ({"size": len(zipped("../x"))}, zipped("../x")),
        ({"sha256": SHA256}, os.urandom(len(DATA))),
    ],
    ids=["another hash", "another size", "path traversal", "other bytes"],
)
def test_a_presigned_upload_of_other_bytes_is_refused(
    about: dict[str, Any], data: bytes, settings: Settings, server: S3Server
) -> None:
    async def use(client: httpx.AsyncClient, outside: httpx.AsyncClient) -> Any:
        begun = await begin(client, **about)
        await outside.put(begun["url"], content=data)
        return await client.post(begun["complete"]), await client.get(f"/v1/uploads/{begun['upload_id']}")

    refused, unknown = run(settings, use)
    assert (refused.status_code, unknown.status_code) == (422, 404)
    assert server.stored() == []


def test_a_presigned_url_is_of_use_for_its_own_object_only(settings: Settings, server: S3Server) -> None:
    async def use(client: httpx.AsyncClient, outside: httpx.AsyncClient) -> Any:
        begun = await begin(client)
        other = begun["url"].replace(f"incoming/{begun['upload_id']}", CONTENT)
        return [(await outside.put(other, content=b"x")).status_code, (await outside.get(begun["url"])).status_code]

    assert run(settings, use) == [403, 403]
    assert server.stored() == []


def test_an_upload_in_one_request_is_streamed_in_parts(settings: Settings, server: S3Server) -> None:
    async def use(client: httpx.AsyncClient, outside: httpx.AsyncClient) -> Any:
        return (await client.post("/v1/uploads", content=DATA)).json()["claim"]["sha256"]

    assert run(settings, use) == SHA256
    assert server.stored() == [CONTENT]


def test_an_upload_in_pieces_goes_on_at_another_gateway(settings: Settings, server: S3Server) -> None:
    tus = {"Tus-Resumable": "1.0.0", "Content-Type": uploads_tus.PIECE_TYPE}
    half = len(DATA) // 2

    async def first(client: httpx.AsyncClient, outside: httpx.AsyncClient) -> Any:
        made = await client.post(uploads_tus.PATH, headers={**tus, "Upload-Length": str(len(DATA)), "Content-Type": ""})
        at = made.headers["location"]
        await client.patch(at, content=DATA[:half], headers={**tus, "Upload-Offset": "0"})
        return at

    async def second(client: httpx.AsyncClient, outside: httpx.AsyncClient) -> Any:
        offset = (await client.head(at, headers=tus)).headers["upload-offset"]
        await client.patch(at, content=DATA[int(offset) :], headers={**tus, "Upload-Offset": offset})
        upload = await client.get(f"/v1/uploads/{at.rpartition('/')[2]}")
        return offset, upload.json()["claim"]["sha256"]

    at = run(settings, first)
    assert run(settings, second) == (str(half), SHA256)
    assert server.stored() == [CONTENT]
