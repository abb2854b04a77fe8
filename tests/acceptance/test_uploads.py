"""Uploads of 2 GB to a gateway of its own process: in flat memory, and resumed after the connection and the gateway died."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from streams.settings import Settings
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.accept, pytest.mark.stack]

MIB = 1 << 20
SIZE = 2048 * MIB
#: Memory that an upload of any size may add to the gateway.
MOST_MIB = 200
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


def blocks() -> Iterator[bytes]:
    """Yield 2 GB, each block with its number, so that a lost or doubled one changes the hash."""
    block = os.urandom(MIB)
    for n in range(SIZE // MIB):
        yield n.to_bytes(8, "big") + block[8:]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a file of 2 GB and its sha256."""
    path, hashed = tmp_path_factory.mktemp("file") / "volume", hashlib.sha256()
    with path.open("wb") as opened:
        for block in blocks():
            opened.write(block)
            hashed.update(block)
    return path, hashed.hexdigest()


@contextmanager
def gateway(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address and the process of a gateway; it is killed at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap,
        "SCHEMA_REGISTRY_URL": settings.registry_url,
        "DATABASE_URL": settings.database,
        "SLUICE_HOME": str(settings.home),
        "SLUICE_TOPIC_PREFIX": settings.topic_prefix,
        "SLUICE_GATEWAY_ADDRESS": address,
        "SLUICE_GATEWAY_AUTH": "open",
    }
    process = subprocess.Popen([sys.executable, "-m", "streams.cli", "gateway"], env={**os.environ, **given})
    url = f"http://{address}"
    try:
        wait_until(lambda: _ready(url), lambda: "the gateway does not answer")
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


class Peak(threading.Thread):
    """Measures how much the resident memory of a process grows, every 20 ms, within a block."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__()
        self._process, self._done = process, threading.Event()
        self._before = process.memory_info().rss
        self.grown_mib = 0.0

    def run(self) -> None:
        while not self._done.wait(0.02):
            self.grown_mib = max(self.grown_mib, (self._process.memory_info().rss - self._before) / MIB)

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def read(path: Path, start: int = 0, size: int = SIZE) -> Iterator[bytes]:
    with path.open("rb") as opened:
        opened.seek(start)
        while size > 0 and (block := opened.read(min(MIB, size))):
            size -= len(block)
            yield block


def test_two_gigabytes_in_one_request_take_flat_memory(settings: Settings, file: tuple[Path, str]) -> None:
    path, sha256 = file
    with gateway(settings) as (url, process), httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        client.post("/v1/uploads", content=b"warm")
        with Peak(process) as peak:
            made = client.post("/v1/uploads", content=read(path))
        assert made.status_code == 201, made.text
        assert (made.json()["claim"]["sha256"], made.json()["claim"]["size"]) == (sha256, SIZE)
        assert peak.grown_mib < MOST_MIB
        print(f"memory grew by {peak.grown_mib:.0f} MiB")


def test_two_gigabytes_in_pieces_go_on_after_the_connection_and_the_gateway_died(
    settings: Settings, file: tuple[Path, str]
) -> None:
    path, sha256 = file
    with gateway(settings) as (url, process), httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        made = client.post("/v1/uploads/tus", headers={**TUS, "Upload-Length": str(SIZE)})
        at = made.headers["location"]
        _send_and_break(url, at, path, 600 * MIB)
        # The gateway reads what is in the socket still; its offset stops moving then.
        kept = wait_until(lambda: _settled(client, at), lambda: "no byte is durable")
        assert 500 * MIB < kept <= 600 * MIB
        threading.Thread(target=_kill_when_it_grows, args=(client, at, kept + 300 * MIB, process)).start()
        with pytest.raises(httpx.TransportError):
            httpx.patch(
                url + at,
                content=read(path, kept),
                headers={**PIECE, "Upload-Offset": str(kept)},
                timeout=300,
                trust_env=False,
            )
    with gateway(settings) as (url, process), httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        durable = _offset(client, at)
        assert kept + 300 * MIB <= durable < SIZE
        with Peak(process) as peak:
            end = client.patch(at, content=read(path, durable), headers={**PIECE, "Upload-Offset": str(durable)})
        assert end.status_code == 204, end.text
        claim = client.get(f"/v1/uploads/{at.rpartition('/')[2]}").json()["claim"]
        assert (claim["sha256"], claim["size"]) == (sha256, SIZE)
        assert peak.grown_mib < MOST_MIB
        print(f"kept {kept // MIB} MiB, after the kill {durable // MIB}; memory grew by {peak.grown_mib:.0f} MiB")


def _offset(client: httpx.Client, at: str) -> int:
    return int(client.head(at, headers=TUS).headers["upload-offset"])


def _settled(client: httpx.Client, at: str) -> int | None:
    before = _offset(client, at)
    threading.Event().wait(0.3)
    return before if before and before == _offset(client, at) else None


def _send_and_break(url: str, at: str, path: Path, size: int) -> None:
    """Send a piece's first bytes over a connection that then breaks."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as raw:
        headers = {**PIECE, "Upload-Offset": "0", "Host": host, "Content-Length": str(SIZE)}
        lines = [f"PATCH {at} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        raw.sendall("\r\n".join(lines).encode())
        for block in read(path, 0, size):
            raw.sendall(block)


def _kill_when_it_grows(client: httpx.Client, at: str, size: int, process: psutil.Process) -> None:
    while _offset(client, at) < size:
        threading.Event().wait(0.05)
    process.kill()
