"""The gateway as a server: TLS, connections that are slow on purpose, and its stop."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from connectors.views import JobStatus
from gateway import cli, http_protocol, service
from gateway.reading import JobReader
from gateway.service import Gateway
from schemas.errors import LoopDied, StartupError
from streams import process
from streams.process import SHORT
from tests.harness.gateway_app import memory_settings
from tests.harness.gateway_service import open_gateway

CERTIFICATE = Path(__file__).parents[1] / "connectors" / "localhost.pem"


def test_it_serves_tls_and_with_authorities_of_clients_only_to_clients_with_a_certificate(tmp_path: Path) -> None:
    settings = memory_settings(tmp_path)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    trusting.check_hostname = False
    with open_gateway(settings, gateway_tls_cert=CERTIFICATE) as url:
        assert httpx.get(f"{url}/livez", verify=trusting).json() == {"alive": True}
    with open_gateway(settings, gateway_tls_cert=CERTIFICATE, gateway_tls_client_ca=CERTIFICATE) as url:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/livez", verify=trusting)
        trusting.load_cert_chain(CERTIFICATE)
        assert httpx.get(f"{url}/livez", verify=trusting).json() == {"alive": True}


def test_a_certificate_that_can_not_be_used_ends_the_start_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="certificate"):
        Gateway(memory_settings(tmp_path, gateway_address="127.0.0.1:0", gateway_tls_cert=tmp_path / "none.pem"))
    with pytest.raises(StartupError, match="SLUICE_GATEWAY_TLS_CERT"):
        Gateway(memory_settings(tmp_path, gateway_address="127.0.0.1:0", gateway_tls_key=CERTIFICATE))


def test_what_a_gateway_has_built_is_left_out_of_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned: list[tuple[int, int, int]] = []
    monkeypatch.setattr(process, "tune_gc", tuned.append)
    monkeypatch.setattr(service, "Gateway", lambda settings, on_built: on_built())
    monkeypatch.setattr(cli, "serve", lambda name, build: build(None))
    cli.gateway()
    assert tuned == [SHORT]


def test_a_gateway_that_fails_once_it_listens_ends_although_a_client_is_connected(tmp_path: Path) -> None:
    clients: list[socket.socket] = []

    def fail() -> None:
        host, port = gateway.address.split(":")
        clients.append(socket.create_connection((host, int(port)), 10))
        raise RuntimeError("planted")

    changes = {"gateway_address": "127.0.0.1:0", "drain_s": 1.0}
    gateway = Gateway(memory_settings(tmp_path).model_copy(update=changes), on_built=fail)
    with pytest.raises(LoopDied, match="http"):
        gateway.run(threading.Event())
    with closing(clients[0]):
        clients[0].settimeout(10)
        assert clients[0].recv(1) == b""


def test_headers_that_come_slowly_or_without_end_close_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEADERS_S", 0.2)
    with open_gateway(memory_settings(tmp_path)) as url:
        address = urlsplit(url)
        place = (str(address.hostname), int(address.port or 0))
        begun = time.monotonic()
        with socket.create_connection(place, 10) as silent, socket.create_connection(place, 10) as slow:
            slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
            assert (silent.recv(1), slow.recv(1)) == (b"", b"")
        assert time.monotonic() - begun < 8
        monkeypatch.setattr(http_protocol, "HEADERS_S", 60.0)
        with socket.create_connection(place, 10) as endless:
            endless.sendall(b"GET /livez HTTP/1.1\r\n")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                send_for_ever(endless)


def test_a_stop_ends_long_polls_with_the_jobs_state_and_finishes_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, watched = JobReader.ended, threading.Event()

    async def noted(*args: Any) -> JobStatus:
        watched.set()
        return await waits(*args)

    monkeypatch.setattr(JobReader, "ended", noted)
    with ThreadPoolExecutor(1) as pool:
        with open_gateway(memory_settings(tmp_path)) as url:
            job = httpx.post(f"{url}/v1/jobs", json={"processor": "echo", "input": {"message": "x"}}).json()
            waiting = pool.submit(httpx.get, f"{url}{job['links']['self']}?wait=60", timeout=60)
            assert watched.wait(10)
            begun = time.monotonic()
        answer = waiting.result()
    assert (answer.status_code, answer.json()["state"]) == (200, "PENDING")
    assert time.monotonic() - begun < 30


def send_for_ever(connection: socket.socket) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        connection.sendall(b"X-Filler: " + b"x" * 4000 + b"\r\n")
