"""The registry's client when the registry fails, and the cache that works without it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.registry import HttpRegistry
from connectors.schema_cache import UNKNOWN_LIMIT, UNKNOWN_TTL_S, CachedRegistry
from schemas.errors import Conflict, UnknownSchema, Unreachable, UsageError

SCHEMA = '"string"'
FOUND = (200, '{"schema": "\\"string\\""}')
UNKNOWN = (404, '{"error_code": 40403, "message": "Schema not found"}')
Answer = tuple[int, str]


class Script:
    """Answers of a server in order; the last one is repeated."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []

    def next(self, path: str) -> Answer:
        self.requests.append(path)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]


@contextmanager
def answering(script: Script) -> Iterator[str]:
    """The address of an HTTP server that follows the script."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = script.next(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def registry_at(url: str) -> Iterator[HttpRegistry]:
    registry = HttpRegistry(url, timeout_s=2, sleep=lambda seconds: None)
    try:
        yield registry
    finally:
        registry.close()


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize("temporary", [503, 500, 429])
def test_a_temporary_error_is_retried(temporary: int) -> None:
    script = Script((temporary, ""), (temporary, ""), FOUND)
    with answering(script) as url, registry_at(url) as registry:
        assert registry.schema_by_id(7) == SCHEMA
    assert script.requests == ["/schemas/ids/7"] * 3


def test_after_three_tries_the_registry_is_unreachable_and_the_error_says_what_to_do() -> None:
    script = Script((503, ""))
    with answering(script) as url, registry_at(url) as registry, pytest.raises(Unreachable) as caught:
        registry.schema_by_id(7)
    assert len(script.requests) == 3
    assert "503" in caught.value.message
    assert "SCHEMA_REGISTRY_URL" in str(caught.value.next_step)


def test_a_closed_port_is_unreachable() -> None:
    with closed_port() as url, registry_at(url) as registry, pytest.raises(Unreachable, match="ConnectError"):
        registry.subjects()


@pytest.mark.parametrize(
    "answer", [(200, "<html>"), (200, "[]"), (200, "{}"), (200, '{"schema": 5}'), (401, ""), (302, ""), (404, "<html>")]
)
def test_a_response_that_no_registry_sends_is_unreachable_and_never_an_unknown_schema(answer: Answer) -> None:
    with answering(Script(answer)) as url, registry_at(url) as registry, pytest.raises(Unreachable):
        registry.schema_by_id(7)


def test_credentials_in_the_address_are_never_shown() -> None:
    with registry_at("http://user:hunter2@registry.example:1/api/") as registry:
        assert registry.url == "http://registry.example:1/api"


@pytest.mark.parametrize("url", ["", "registry:8081", "ftp://registry", "http://"])
def test_an_invalid_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="schema registry"):
        HttpRegistry(url)


def test_cached_schemas_work_while_the_registry_is_down(tmp_path: Path) -> None:
    with answering(Script(FOUND)) as url, registry_at(url) as registry:
        CachedRegistry(registry, tmp_path).schema_by_id(7)
    with registry_at(url) as down:
        assert CachedRegistry(down, tmp_path).schema_by_id(7) == SCHEMA
        with pytest.raises(Unreachable):
            CachedRegistry(down, tmp_path).schema_by_id(8)


def test_a_known_id_is_requested_once(tmp_path: Path) -> None:
    script = Script(FOUND)
    with answering(script) as url, registry_at(url) as registry:
        cached = CachedRegistry(registry, tmp_path)
        assert [cached.schema_by_id(7) for _ in range(3)] == [SCHEMA] * 3
    assert len(script.requests) == 1


def test_the_ids_of_another_registry_are_kept_apart(tmp_path: Path) -> None:
    with answering(Script(FOUND)) as url, registry_at(url) as registry:
        CachedRegistry(registry, tmp_path).schema_by_id(7)
    with closed_port() as url, registry_at(url) as other, pytest.raises(Unreachable):
        CachedRegistry(other, tmp_path).schema_by_id(7)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b"string", b"double"),
        lambda data: b"\xff\xfe" + data,
        lambda data: b"no newline",
    ],
    ids=["empty", "cut", "changed", "bytes", "nonsense"],
)
def test_a_damaged_cache_file_is_fetched_again_and_repaired(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    script = Script(FOUND)
    with answering(script) as url, registry_at(url) as registry:
        CachedRegistry(registry, tmp_path).schema_by_id(7)
        (file,) = tmp_path.rglob("*.avsc")
        whole = file.read_bytes()
        file.write_bytes(damage(whole))
        assert CachedRegistry(registry, tmp_path).schema_by_id(7) == SCHEMA
    assert len(script.requests) == 2
    assert file.read_bytes() == whole
    assert list(tmp_path.rglob("*.part")) == []


def test_a_cache_that_can_not_be_written_does_not_fail_the_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with answering(Script(FOUND)) as url, registry_at(url) as registry:
        assert CachedRegistry(registry, tmp_path / "file").schema_by_id(7) == SCHEMA


def test_an_unknown_id_is_cached_for_a_moment_only(tmp_path: Path) -> None:
    now = 0.0
    script = Script(UNKNOWN, FOUND)
    with answering(script) as url, registry_at(url) as registry:
        cached = CachedRegistry(registry, tmp_path, clock=lambda: now)
        for _ in range(3):
            with pytest.raises(UnknownSchema):
                cached.schema_by_id(7)
        assert len(script.requests) == 1
        now = UNKNOWN_TTL_S
        assert cached.schema_by_id(7) == SCHEMA


def test_unknown_ids_take_bounded_memory(tmp_path: Path) -> None:
    with answering(Script(UNKNOWN)) as url, registry_at(url) as registry:
        cached = CachedRegistry(registry, tmp_path)
        for schema_id in range(UNKNOWN_LIMIT + 10):
            with pytest.raises(UnknownSchema):
                cached.schema_by_id(schema_id)
        assert len(cached._unknown) <= UNKNOWN_LIMIT


TAKEN = (409, '{"error_code": 409, "message": "A rule named COMPATIBILITY already exists."}')


def test_a_compatibility_level_set_by_another_client_at_the_same_time_is_replaced() -> None:
    script = Script(TAKEN, (200, '{"compatibility": "FULL_TRANSITIVE"}'))
    with answering(script) as url, registry_at(url) as registry:
        registry.set_compatibility(None, "FULL_TRANSITIVE")
    assert script.requests == ["/config"] * 2


def test_a_compatibility_level_that_stays_refused_is_a_conflict() -> None:
    with answering(Script(TAKEN)) as url, registry_at(url) as registry, pytest.raises(Conflict):
        registry.set_compatibility(None, "FULL_TRANSITIVE")
