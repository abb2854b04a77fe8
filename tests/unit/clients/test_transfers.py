"""Downloads and uploads go on where they were cut off, and never leave or store other bytes than were meant."""

from __future__ import annotations

import hashlib
import json
import random
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sluice_client import File, HashMismatch, Limits, Upload, UsageError, errors
from sluice_client.context import Retry
from sluice_client.download import download
from sluice_client.upload import upload
from sluice_client.wire import Broken, Done, FileSlice, Read, Request, advance
from tests.unit.clients.kit import Reply, Shell, cut, json_reply, problem

CONTENT = random.Random(1).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = File("mask.nii.gz", SHA256, len(CONTENT), f"/v1/jobs/j1/files/{SHA256}")


class FileServer:
    """Serves CONTENT by Range; `cuts`: after how many bytes each of the first connections breaks."""

    def __init__(self, content: bytes = CONTENT, cuts: tuple[int, ...] = (), ranges: bool = True) -> None:
        self.content = content
        self.cuts = list(cuts)
        self.ranges = ranges
        self.starts: list[int] = []
        self.shell = Shell(self.answer)

    def answer(self, request: Request) -> Reply | Broken:
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")) if self.ranges else None
        start = int(found[1]) if found else 0
        self.starts.append(start)
        rest = self.content[start:]
        cut_at = self.cuts.pop(0) if self.cuts else None
        chunks = [rest[n : n + 50_000] for n in range(0, len(rest), 50_000)]
        headers = {"content-range": f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"} if found else {}
        if cut_at is not None:
            return Reply(206 if found else 200, [*chunks[: cut_at // 50_000], cut()], headers)
        return Reply(206 if found else 200, chunks, headers)


def fetch(server: FileServer, path: Path, file: File = FILE) -> Path:
    return server.shell.run(download(server.shell.context, file, path))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_and_alone_under_its_name(tmp_path: Path) -> None:
    assert fetch(FileServer(), tmp_path) == tmp_path / "mask.nii.gz"
    assert (tmp_path / "mask.nii.gz").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["mask.nii.gz"]


def test_a_download_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    server = FileServer(cuts=(1_500_000, 1_200_000))
    assert fetch(server, tmp_path / "x").read_bytes() == CONTENT
    assert server.starts[0] == 0
    assert 0 < server.starts[1] < server.starts[2]


def test_a_download_goes_on_in_another_process(tmp_path: Path) -> None:
    server = FileServer(cuts=(2_000_000,))
    server.shell.context = replace(server.shell.context, retry=Retry(attempts=1))
    with pytest.raises(errors.Unreachable):
        fetch(server, tmp_path / "x")
    assert names_in(tmp_path) == [f".x.{SHA256[:16]}.part"]
    assert fetch(server, tmp_path / "x").read_bytes() == CONTENT
    assert server.starts[1] >= 1_000_000


def test_a_download_over_connections_of_a_few_bytes_gets_on(tmp_path: Path) -> None:
    server = FileServer(cuts=(50_000,) * 40)
    assert fetch(server, tmp_path / "x").read_bytes() == CONTENT
    assert server.starts[:3] == [0, 50_000, 100_000]


def test_two_downloads_of_one_file_at_once_do_not_mix(tmp_path: Path) -> None:
    one, other = FileServer(), FileServer()
    first = download(one.shell.context, FILE, tmp_path / "x")
    command = advance(first)
    while not isinstance(command, Read):  # then it has its file
        assert not isinstance(command, Done)
        command = advance(first, one.shell.perform(command))
    assert fetch(other, tmp_path / "x").read_bytes() == CONTENT
    while not isinstance(command, Done):
        command = advance(first, one.shell.perform(command))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["x"]


def test_a_server_without_ranges_is_read_from_the_beginning(tmp_path: Path) -> None:
    server = FileServer(cuts=(1_500_000,), ranges=False)
    assert fetch(server, tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"more"])
def test_other_bytes_than_the_result_names_are_refused_and_removed(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(HashMismatch):
        fetch(FileServer(content), tmp_path / "x")
    assert names_in(tmp_path) == []


def test_an_earlier_target_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(HashMismatch):
        fetch(FileServer(CONTENT + b"more"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert fetch(FileServer(), tmp_path / "x").read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_ends_in_an_error(tmp_path: Path) -> None:
    server = FileServer(cuts=(0,) * 20)
    with pytest.raises(errors.Unreachable):
        fetch(server, tmp_path / "x")
    assert len(server.starts) == 6


def test_an_empty_file_is_made_too(tmp_path: Path) -> None:
    empty = File("e", hashlib.sha256(b"").hexdigest(), 0, "/v1/jobs/j1/files/e")
    assert fetch(FileServer(b""), tmp_path, empty).read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "safe"), [("../../etc/passwd", "passwd"), ("c:\\temp\\x.bin", "x.bin"), ("/a/b", "b")]
)
def test_a_name_with_a_path_stays_in_the_folder(tmp_path: Path, name: str, safe: str) -> None:
    file = File(name, SHA256, len(CONTENT), FILE.href)
    assert fetch(FileServer(), tmp_path, file) == tmp_path / safe


@pytest.mark.parametrize("name", ["..", "a/..", "", "a/"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        fetch(FileServer(), tmp_path, File(name, SHA256, len(CONTENT), FILE.href))


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
        return json_reply({"upload_id": "u1", "claim": claim, **self.metadata})

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
    return content.path.read_bytes()[content.offset : content.offset + content.length]


def send(shell: Shell, path: Path, resume: Path | None = None) -> Upload:
    return shell.run(upload(shell.context, path, "mr", "case-1", None, None, resume))


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
    assert parse_qs(urlsplit(request.url).query) == {"filename": ["größe.txt"], "kind": ["mr"], "case_id": ["case-1"]}


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
