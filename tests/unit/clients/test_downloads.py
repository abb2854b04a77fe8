"""Downloads go on where they were cut off, and never leave other bytes than the result names."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sluice_client import File, HashMismatch, UsageError, errors
from sluice_client.context import Retry
from sluice_client.download import download
from sluice_client.wire import Broken, Done, Read, Request, advance
from tests.unit.clients.kit import Reply, Shell, cut

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


def fetch(server: FileServer, path: str | Path, file: File = FILE) -> Path:
    return server.shell.run(download(server.shell.context, file, path))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_and_alone_under_its_name(tmp_path: Path) -> None:
    assert fetch(FileServer(), tmp_path) == tmp_path / "mask.nii.gz"
    assert (tmp_path / "mask.nii.gz").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["mask.nii.gz"]


def test_a_path_that_ends_with_a_separator_is_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = f"{tmp_path}/new/results/"
    assert fetch(FileServer(), folder) == tmp_path / "new" / "results" / "mask.nii.gz"
    fetch(FileServer(), folder, replace(FILE, name="report.pdf"))
    assert names_in(Path(folder)) == ["mask.nii.gz", "report.pdf"]


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
