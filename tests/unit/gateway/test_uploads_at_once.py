"""Requests about one upload that meet: each sees the upload in pieces, accepted, or given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.memory.upload_store import MemoryUploadStore
from connectors.upload_store import PartialUpload
from gateway.ports import Ports
from gateway.uploads_tus import PATH, PIECE_TYPE
from schemas.records import Upload
from tests.harness.uploads import upload
from tests.unit.gateway.uploads_kit import run, stored

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": PIECE_TYPE, "Upload-Offset": "0"}


async def begin(client: httpx.AsyncClient) -> str:
    at: str = (await client.post(PATH, headers={**TUS, "Upload-Length": "5"})).headers["location"]
    return at


def test_an_upload_that_is_accepted_between_two_looks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = MemoryUploadStore.partial

    def accepted_before(self: MemoryUploadStore, tenant: str, upload_id: str) -> PartialUpload | None:
        self.add(upload(upload_id=upload_id, tenant=tenant), in_pieces=True)
        return look(self, tenant, upload_id)

    async def use(client: httpx.AsyncClient, _: Ports) -> list[Any]:
        at = [await begin(client) for _ in range(4)]
        monkeypatch.setattr(MemoryUploadStore, "partial", accepted_before)
        return [
            (await client.head(at[0], headers=TUS)).headers["upload-offset"],
            (await client.patch(at[1], headers={**PIECE, "Upload-Offset": "5"})).status_code,
            (await client.get(at[2].replace("/tus", ""))).status_code,
            (await client.delete(at[3], headers=TUS)).status_code,  # it has ended
        ]

    assert run(tmp_path, use) == ["5", 204, 200, 404]


def test_an_upload_that_is_given_up_before_it_is_accepted_stays_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, given_up = MemoryUploadStore.add, []

    def given_up_before(self: MemoryUploadStore, made: Upload, *args: Any, **options: Any) -> bool:
        given_up.append(self.discard(made.upload_id))
        return add(self, made, *args, **options)

    async def use(client: httpx.AsyncClient, _: Ports) -> list[int]:
        at = await begin(client)
        monkeypatch.setattr(MemoryUploadStore, "add", given_up_before)
        patched = await client.patch(at, content=b"12345", headers=PIECE)
        return [patched.status_code, (await client.get(at.replace("/tus", ""))).status_code]

    assert run(tmp_path, use) == [404, 404]
    assert given_up == [True]
    assert [path for path in stored(tmp_path) if "sha256" not in path] == []


def test_an_upload_that_was_accepted_can_not_be_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    discard = MemoryUploadStore.discard

    def accepted_before(self: MemoryUploadStore, upload_id: str) -> bool:
        self.add(upload(upload_id=upload_id, tenant="default"), in_pieces=True)
        return discard(self, upload_id)

    async def use(client: httpx.AsyncClient, _: Ports) -> list[int]:
        at = await begin(client)
        monkeypatch.setattr(MemoryUploadStore, "discard", accepted_before)
        gone = await client.delete(at, headers=TUS)
        return [gone.status_code, (await client.get(at.replace("/tus", ""))).status_code]

    assert run(tmp_path, use) == [404, 200]
