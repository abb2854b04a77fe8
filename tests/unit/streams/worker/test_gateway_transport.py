"""The start of a lab worker: what is wrong ends it with a sentence and the next step; a gateway that is away is waited for."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from schemas.contract import contract
from schemas.errors import StartupError, Unreachable, UsageError
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.gateway.transport import GatewayTransport
from streams.worker.transport import Facts
from tests.harness.source_tree import ROOT

CERTIFICATE = ROOT / "tests" / "unit" / "connectors" / "localhost.pem"
JOINED = {"topic_prefix": "", "topics": [["requests.echo", "id"]], "version": "9"}


def problem(status: int, code: str, detail: str, next_step: str = "") -> tuple[int, dict[str, Any]]:
    return status, {"status": status, "code": code, "detail": detail, "next_step": next_step}


@contextmanager
def answering(answer: tuple[int, Any], *, tls: bool = False) -> Iterator[str]:
    """Answer every request the same, as a gateway does or as something else; yield the URL."""
    status, body = answer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    class Server(HTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that does not trust the certificate hangs up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http{'s' * tls}://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def facts(url: str, home: Path, **settings: Any) -> Facts:
    made = Settings(home=home, worker_gateway=url, **settings)
    return GatewayTransport(made, LoopThreads("worker", None)).facts(contract("echo"))


REFUSALS = {
    "a wrong token": (problem(401, "UNAUTHENTICATED", "no valid token"), "SLUICE_GATEWAY_TOKEN"),
    "a token without the scope": (problem(403, "FORBIDDEN", "lacks the scope 'work'"), "SLUICE_GATEWAY_TOKEN"),
    "another version": (problem(422, "USAGE", "speaks version 1", "Install the same version."), "same version"),
    "a web page": ((200, b"<html>"), "Check the address"),
    "another service": ((404, b"not here"), "Check the address"),
    "a redirect": ((302, b""), "Check the address"),
    "an answer of another version": ((200, {"topics": 3}), "same version"),
    "another prefix": ((200, JOINED | {"topic_prefix": "p."}), "SLUICE_TOPIC_PREFIX=p."),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_machine_that_is_refused_does_not_start_and_learns_why(refusal: str, tmp_path: Path) -> None:
    answer, next_step = REFUSALS[refusal]
    with answering(answer) as url, pytest.raises(StartupError) as raised:
        facts(url, tmp_path)
    assert next_step in str(raised.value.next_step)


def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    with answering((200, JOINED), tls=True) as url, pytest.raises(StartupError, match="can't be trusted") as raised:
        facts(url, tmp_path)
    assert "SLUICE_WORKER_CA" in str(raised.value.next_step)


def test_plain_http_where_tls_is_spoken_is_named(tmp_path: Path) -> None:
    with answering((200, JOINED)) as url, pytest.raises(StartupError, match="TLS with the gateway"):
        facts(url.replace("http", "https"), tmp_path)


def test_a_gateway_that_is_away_or_overloaded_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="did not answer"):
        facts("http://127.0.0.1:9", tmp_path)
    for answer in ((502, b"<html>bad gateway"), problem(503, "UNREACHABLE", "Postgres is away")):
        with answering(answer) as url, pytest.raises(Unreachable, match="can't do it now"):
            facts(url, tmp_path)


@pytest.mark.parametrize("url", ["gateway.example", "https://user:secret@gateway.example", "ftp://gateway.example"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        facts(url, tmp_path)
    assert "secret" not in str(raised.value)


def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("slt_abc\n")
    settings = Settings(home=tmp_path, worker_gateway="https://gateway.example", gateway_token_file=tmp_path / "token")
    assert settings.gateway_secret == "slt_abc"
    with pytest.raises(UsageError, match="SLUICE_GATEWAY_TOKEN_FILE"):
        _ = settings.model_copy(update={"gateway_token_file": tmp_path / "none"}).gateway_secret
