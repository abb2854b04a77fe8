"""Uploads go on where they were cut off, and store no other bytes than were meant."""

from __future__ import annotations

import hashlib
import io
import json
import random
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sluice_client import Limits, Upload, errors
from sluice_client.http import blocks_of
from sluice_client.upload import UploadFacts, source_of, upload
from sluice_client.wire import Broken, FileSlice, Request
from tests.unit.clients.kit import Reply, Shell, cut, json_reply, problem

CONTENT = random.Random(1).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class TusServer:
    """Takes uploads by tus; `breaks`: after how many bytes each of the first parts breaks, though the server has them."""

    def __init__(self, breaks: tuple[int, ...] = ()) -> None:
        self.breaks = list(breaks)
        self.stored = bytearray()
        self.metadata: dict[str, str] = {}
        self.created = 0
        self.part_takes_s = 0
        self.parts: list[int] = []
        self.shell = Shell(self.answer, limits=Limits(parts_from=1000, part=1_000_000))

    def answer(self, request: Request) -> Reply | Broken:
        path = urlsplit(request.url).path
        if request.method == "POST" and path == "/v1/uploads/tus":
            self.created += 1
            self.stored.clear()
            pairs = (pair.split(" ") for pair in request.headers["upload-metadata"].split(","))
            self.metadata = {name: b64decode(value).decode() for name, value in pairs}
            return Reply(201, (), {"location": "/v1/uploads/tus/u1"})
        if request.method == "HEAD":
            return (
                Reply(200, (), {"upload-offset": str(len(self.stored))}) if self.created else problem(404, "NOT_FOUND")
            )
        if request.method == "PATCH":
            return self.take(request)
        assert (request.method, path) == ("GET", "/v1/uploads/u1")
        claim = {"uri": "file:///u1", "sha256": hashlib.sha256(self.stored).hexdigest(), "size": len(self.stored)}
        labels = json.loads(self.metadata.get("labels", "{}"))
        return json_reply({"upload_id": "u1", "claim": claim, **self.metadata, "labels": labels})

    def take(self, request: Request) -> Reply | Broken:
        offset = int(request.headers["upload-offset"])
        if offset != len(self.stored):
            return problem(409, "CONFLICT")
        self.parts.append(offset)
        self.shell.now += self.part_takes_s
        data = sent_by(request)
        if self.breaks:
            self.stored += data[: self.breaks.pop(0)]
            return cut()
        self.stored += data
        return Reply(204, (), {"upload-offset": str(len(self.stored))})


def sent_by(request: Request) -> bytes:
    content = request.content
    assert isinstance(content, FileSlice)
    return b"".join(blocks_of(content))


LABELS = {"role": "LIS", "status": "확인"}


def send(shell: Shell, path: Path, resume: Path | None = None) -> Upload:
    return shell.run(upload(shell.context, path, UploadFacts("mr", "case-1", LABELS), None, None, resume))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "volume.nii"
    path.write_bytes(CONTENT)
    return path


def test_a_small_file_goes_in_one_request_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    path.write_bytes(b"hello")
    claim = {"uri": "file:///x", "sha256": "ab", "size": 5}
    shell = Shell.replying(json_reply({"upload_id": "u1", "claim": claim}, 201))
    assert send(shell, path).claim.size == 5
    (request,) = shell.requests
    assert sent_by(request) == b"hello"
    assert request.headers["content-digest"] == "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"
    assert request.headers["content-type"] == "text/plain"
    query = {"filename": ["größe.txt"], "kind": ["mr"], "case_id": ["case-1"], "label": ["role=LIS", "status=확인"]}
    assert parse_qs(urlsplit(request.url).query) == query


@pytest.mark.parametrize("kind", ["path", "bytes", "open file", "file in memory"])
def test_whatever_can_be_read_can_be_uploaded(source: Path, kind: str) -> None:
    server = TusServer(breaks=(300_000,))
    with source.open("rb") as stream:
        stream.seek(17)  # someone has looked at its beginning
        files: dict[str, Any] = {
            "path": str(source),
            "bytes": CONTENT,
            "open file": stream,
            "file in memory": io.BytesIO(CONTENT),
        }
        made = upload(server.shell.context, source_of(files[kind]), UploadFacts(None, None, None), None, None, None)
        assert server.shell.run(made).claim.sha256 == SHA256
        assert server.metadata.get("filename") == ("volume.nii" if kind in ("path", "open file") else None)
        assert not stream.closed


def test_a_small_file_is_not_sent_twice_after_a_break_that_may_have_stored_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    shell = Shell.replying(cut(sent=False), cut(sent=True))
    with pytest.raises(errors.Unreachable):
        send(shell, path)
    assert len(shell.requests) == 2


def test_a_large_file_goes_in_parts(source: Path) -> None:
    server = TusServer()
    assert send(server.shell, source).claim.sha256 == SHA256
    assert server.parts == [0, 1_000_000, 2_000_000]
    assert server.metadata["sha256"] == SHA256
    assert json.loads(server.metadata["labels"]) == LABELS
    assert server.metadata["filename"] == "volume.nii"


def test_an_upload_goes_on_with_the_first_byte_that_is_missing(source: Path) -> None:
    server = TusServer(breaks=(300_000, 0, 1_000_000))
    assert send(server.shell, source).claim.sha256 == SHA256
    assert server.parts == [0, 300_000, 300_000, 1_300_000, 2_300_000]


def test_time_on_a_slow_line_is_no_reason_to_give_up(source: Path) -> None:
    server = TusServer(breaks=(300_000, 300_000, 300_000))
    server.part_takes_s = 120
    assert send(server.shell, source).claim.sha256 == SHA256


def test_an_upload_that_gets_nowhere_ends_in_an_error(source: Path) -> None:
    server = TusServer(breaks=(0,) * 20)
    with pytest.raises(errors.Unreachable):
        send(server.shell, source)
    assert len(server.parts) == 6


def test_another_process_goes_on_with_an_upload(source: Path, tmp_path: Path) -> None:
    server = TusServer(breaks=(700_000, *(0,) * 20))
    resume = tmp_path / "resume.json"
    with pytest.raises(errors.Unreachable):
        send(server.shell, source, resume)
    server.breaks.clear()
    assert send(server.shell, source, resume).claim.sha256 == SHA256
    assert server.created == 1
    assert not resume.exists()


@pytest.mark.parametrize("what", ["changed file", "damaged memory", "expired upload"])
def test_an_upload_begins_again_where_it_cannot_go_on(source: Path, tmp_path: Path, what: str) -> None:
    server = TusServer(breaks=(700_000, *(0,) * 20))
    resume = tmp_path / "resume.json"
    with pytest.raises(errors.Unreachable):
        send(server.shell, source, resume)
    server.breaks.clear()
    if what == "changed file":
        source.write_bytes(CONTENT[::-1])
    elif what == "damaged memory":
        resume.write_text(json.dumps({"address": 1})[:5])
    else:
        server.created = 0
    send(server.shell, source, resume)
    assert bytes(server.stored) == source.read_bytes()


def test_the_memory_of_an_upload_cannot_send_the_file_elsewhere(source: Path, tmp_path: Path) -> None:
    server = TusServer(breaks=(700_000, *(0,) * 20))
    resume = tmp_path / "resume.json"
    with pytest.raises(errors.Unreachable):
        send(server.shell, source, resume)
    server.breaks.clear()
    resume.write_text(resume.read_text().replace("gateway.example", "elsewhere.example"))
    send(server.shell, source, resume)
    assert {urlsplit(request.url).hostname for request in server.shell.requests} == {"gateway.example"}
