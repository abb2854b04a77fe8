"""The registry's client when the registry misbehaves, and the cache that carries on without it."""

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
        self.asked: list[str] = []

    def next(self, path: str) -> Answer:
        self.asked.append(path)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


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
def nobody_listening() -> Iterator[str]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize("passing", [503, 500, 429])
def test_what_passes_is_tried_again(passing: int) -> None:
    script = Script((passing, ""), (passing, ""), FOUND)
    with answering(script) as url, registry_at(url) as registry:
        assert registry.schema_by_id(7) == SCHEMA
    assert script.asked == ["/schemas/ids/7"] * 3


def test_after_three_tries_the_registry_is_unreachable_and_the_error_says_what_to_do() -> None:
    script = Script((503, ""))
    with answering(script) as url, registry_at(url) as registry, pytest.raises(Unreachable) as caught:
        registry.schema_by_id(7)
    assert len(script.asked) == 3
    assert "503" in caught.value.message
    assert "SCHEMA_REGISTRY_URL" in str(caught.value.next_step)


def test_nobody_listening_is_unreachable() -> None:
    with nobody_listening() as url, registry_at(url) as registry, pytest.raises(Unreachable, match="ConnectError"):
        registry.subjects()


@pytest.mark.parametrize(
    "answer", [(200, "<html>"), (200, "[]"), (200, "{}"), (200, '{"schema": 5}'), (401, ""), (302, ""), (404, "<html>")]
)
def test_an_answer_that_is_no_registrys_is_unreachable_and_never_an_unknown_schema(answer: Answer) -> None:
    with answering(Script(answer)) as url, registry_at(url) as registry, pytest.raises(Unreachable):
        registry.schema_by_id(7)


def test_credentials_in_the_address_are_never_shown() -> None:
    with registry_at("http://user:hunter2@registry.example:1/api/") as registry:
        assert registry.url == "http://registry.example:1/api"


@pytest.mark.parametrize("url", ["", "registry:8081", "ftp://registry", "http://"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="schema registry"):
        HttpRegistry(url)


def test_decoding_goes_on_while_the_registry_is_down(tmp_path: Path) -> None:
    with answering(Script(FOUND)) as url, registry_at(url) as registry:
        CachedRegistry(registry, tmp_path).schema_by_id(7)
    with registry_at(url) as down:
        assert CachedRegistry(down, tmp_path).schema_by_id(7) == SCHEMA
        with pytest.raises(Unreachable):
            CachedRegistry(down, tmp_path).schema_by_id(8)


def test_a_known_id_is_asked_for_once(tmp_path: Path) -> None:
    script = Script(FOUND)
    with answering(script) as url, registry_at(url) as registry:
        cached = CachedRegistry(registry, tmp_path)
        assert [cached.schema_by_id(7) for _ in range(3)] == [SCHEMA] * 3
    assert len(script.asked) == 1


def test_another_registrys_ids_are_not_mixed_in(tmp_path: Path) -> None:
    with answering(Script(FOUND)) as url, registry_at(url) as registry:
        CachedRegistry(registry, tmp_path).schema_by_id(7)
    with nobody_listening() as url, registry_at(url) as other, pytest.raises(Unreachable):
        CachedRegistry(other, tmp_path).schema_by_id(7)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b"string", b"double"),
        lambda data: b"\xff\xfe" + data,
        lambda data: b"no newline",
    ],
    ids=["empty", "cut", "changed", "bytes", "nonsense"],
)
def test_a_spoiled_cache_file_is_fetched_again_and_mended(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    script = Script(FOUND)
    with answering(script) as url, registry_at(url) as registry:
        CachedRegistry(registry, tmp_path).schema_by_id(7)
        (file,) = tmp_path.rglob("*.avsc")
        whole = file.read_bytes()
        file.write_bytes(spoil(whole))
        assert CachedRegistry(registry, tmp_path).schema_by_id(7) == SCHEMA
    assert len(script.asked) == 2
    assert file.read_bytes() == whole
    assert list(tmp_path.rglob("*.part")) == []


def test_a_cache_that_can_not_be_written_costs_nothing_but_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with answering(Script(FOUND)) as url, registry_at(url) as registry:
        assert CachedRegistry(registry, tmp_path / "file").schema_by_id(7) == SCHEMA


def test_an_unknown_id_is_believed_for_a_moment_only(tmp_path: Path) -> None:
    now = 0.0
    script = Script(UNKNOWN, FOUND)
    with answering(script) as url, registry_at(url) as registry:
        cached = CachedRegistry(registry, tmp_path, clock=lambda: now)
        for _ in range(3):
            with pytest.raises(UnknownSchema):
                cached.schema_by_id(7)
        assert len(script.asked) == 1
        now = UNKNOWN_TTL_S
        assert cached.schema_by_id(7) == SCHEMA


def test_any_number_of_unknown_ids_takes_bounded_memory(tmp_path: Path) -> None:
    with answering(Script(UNKNOWN)) as url, registry_at(url) as registry:
        cached = CachedRegistry(registry, tmp_path)
        for schema_id in range(UNKNOWN_LIMIT + 10):
            with pytest.raises(UnknownSchema):
                cached.schema_by_id(schema_id)
        assert len(cached._unknown) <= UNKNOWN_LIMIT


TAKEN = (409, '{"error_code": 409, "message": "A rule named COMPATIBILITY already exists."}')


def test_a_compatibility_that_somebody_else_sets_at_the_same_time_is_set_over_it() -> None:
    script = Script(TAKEN, (200, '{"compatibility": "FULL_TRANSITIVE"}'))
    with answering(script) as url, registry_at(url) as registry:
        registry.set_compatibility(None, "FULL_TRANSITIVE")
    assert script.asked == ["/config"] * 2


def test_a_compatibility_that_is_refused_for_good_is_a_conflict() -> None:
    with answering(Script(TAKEN)) as url, registry_at(url) as registry, pytest.raises(Conflict):
        registry.set_compatibility(None, "FULL_TRANSITIVE")
