"""Files are downloaded once, checked and kept; from a real HTTP server."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.errors import StartupError, Unreachable
from streams.stack.artifacts import Artifact
from streams.stack.downloads import Cache
from streams.stack.events import EventKind, Reporter, StackEvent
from streams.stack.supervise import never_cancelled
from streams.stack.task_group import Cancelled

SILENT = Reporter(None)


class Repository:
    """A Maven repository that serves given files and records the requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                repository.asked.append(path)
                if path not in repository.files:
                    self.send_error(404)
                    return
                content = repository.files[path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                broken_off = path in repository.cut
                repository.cut.discard(path)
                self.wfile.write(content[: len(content) // 2] if broken_off else content)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, path: str, content: bytes) -> Artifact:
        self.files[path] = content
        return Artifact(path, hashlib.sha256(content).hexdigest(), len(content))


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def cache(repository: Repository, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", repository.address)


def archive_of(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part") or path.name.startswith("new-")]


def test_each_file_is_downloaded_once_and_then_taken_from_the_cache(repository: Repository, cache: Cache) -> None:
    artifacts = [repository.add("org/a/1/a-1.jar", b"a" * 1000), repository.add("org/b/2/b-2.jar", b"b" * 1000)]
    first = cache.jars("kafka", artifacts, SILENT, never_cancelled)
    assert [place.read_bytes() for place in first] == [b"a" * 1000, b"b" * 1000]
    assert cache.jars("kafka", artifacts, SILENT, never_cancelled) == first
    assert sorted(repository.asked) == ["org/a/1/a-1.jar", "org/b/2/b-2.jar"]


def test_progress_starts_at_zero_and_ends_at_the_total(repository: Repository, cache: Cache) -> None:
    events: list[StackEvent] = []
    cache.jars("kafka", [repository.add("a.jar", b"a" * 600_000)], Reporter(events.append), never_cancelled)
    assert {event.kind for event in events} == {EventKind.DOWNLOAD}
    assert [(event.done, event.total) for event in (events[0], events[-1])] == [(0, 600_000), (600_000, 600_000)]


def test_a_file_with_another_checksum_is_refused_and_not_kept(
    repository: Repository, cache: Cache, tmp_path: Path
) -> None:
    artifact = repository.add("a.jar", b"what was committed")
    repository.files["a.jar"] = b"another content"[: artifact.size].ljust(artifact.size)
    with pytest.raises(StartupError, match=r"has the sha256 .* expected"):
        cache.jars("kafka", [artifact], SILENT, never_cancelled)
    assert not cache.path(artifact).exists()
    assert leftovers(tmp_path) == []


def test_a_file_altered_in_the_cache_is_downloaded_again(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("a.jar", b"whole")
    (place,) = cache.jars("kafka", [artifact], SILENT, never_cancelled)
    place.write_bytes(b"whale")
    cache.jars("kafka", [artifact], SILENT, never_cancelled)
    assert place.read_bytes() == b"whole"


def test_a_broken_download_is_tried_again(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("a.jar", b"a" * 600_000)
    repository.cut.add("a.jar")
    events: list[StackEvent] = []
    cache.jars("kafka", [artifact], Reporter(events.append), never_cancelled)
    assert repository.asked == ["a.jar", "a.jar"]
    assert events[-1].done == events[-1].total


def test_the_error_for_a_missing_file_names_the_repository_and_the_next_step(
    repository: Repository, cache: Cache
) -> None:
    with pytest.raises(Unreachable, match=r"none\.jar could not be downloaded: HTTP Error 404") as caught:
        cache.jars("kafka", [Artifact("none.jar", "0" * 64, 1)], SILENT, never_cancelled)
    assert "HTTPS_PROXY" in str(caught.value)


def test_an_archive_is_unpacked_once_and_only_its_contents_are_kept(repository: Repository, cache: Cache) -> None:
    artifact = repository.add("app-all.tar.gz", archive_of("quarkus-run.jar", b"jar"))
    folder = cache.unpacked("registry", artifact, SILENT, never_cancelled)
    assert folder == cache.folder_of(artifact) == cache.unpacked("registry", artifact, SILENT, never_cancelled)
    assert (folder / "quarkus-run.jar").read_bytes() == b"jar"
    assert repository.asked == ["app-all.tar.gz"]
    assert not cache.path(artifact).exists()


def test_an_archive_with_a_path_outside_its_folder_is_not_unpacked(
    repository: Repository, cache: Cache, tmp_path: Path
) -> None:
    artifact = repository.add("bad.tar.gz", archive_of("../../outside", b"x"))
    with pytest.raises(tarfile.OutsideDestinationError):
        cache.unpacked("registry", artifact, SILENT, never_cancelled)
    assert not cache.folder_of(artifact).exists()
    assert leftovers(tmp_path) == []


def test_cancelling_leaves_no_partial_file(repository: Repository, cache: Cache, tmp_path: Path) -> None:
    def check() -> None:
        if repository.asked:
            raise Cancelled

    with pytest.raises(Cancelled):
        cache.jars("kafka", [repository.add("a.jar", b"a" * 600_000)], SILENT, check)
    assert leftovers(tmp_path) == []
