"""Two servers of language models by other hands, offline: `transformers serve` on a directory, llama.cpp on a GGUF file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.harness.waiting import wait_until

#: A start imports torch and transformers.
PATIENCE_S = 300.0
_LLAMA = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.hostnames = ["127.0.0.1"]
params.n_ctx, params.n_parallel, params.n_gpu_layers = 2048, 1, 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server. `url`: its base URL; `model`: the name to ask it for."""

    url: str
    model: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kill it as a crash would: nothing is closed or said."""
        self.process.kill()
        self.process.wait()


@contextmanager
def transformers_serve(directory: Path, log: Path) -> Iterator[Peer]:
    program = Path(sys.executable).with_name("transformers")
    port = _free_port()
    command = [str(program), "serve", str(directory), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with _running(command, port, str(directory), log) as peer:
        yield peer


@contextmanager
def llama_server(gguf: Path, log: Path) -> Iterator[Peer]:
    port = _free_port()
    with _running([sys.executable, "-c", _LLAMA, str(gguf), str(port)], port, gguf.stem, log) as peer:
        yield peer


@contextmanager
def _running(command: Sequence[str], port: int, model: str, log: Path) -> Iterator[Peer]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        peer = Peer(f"http://127.0.0.1:{port}/v1", model, process)
        try:
            wait_until(lambda: _healthy(peer), lambda: log.read_text(errors="replace")[-2000:], PATIENCE_S)
            yield peer
        finally:
            peer.kill()


def _healthy(peer: Peer) -> bool:
    assert peer.process.poll() is None, "the server ended at its start"
    try:
        return httpx.get(peer.url.replace("/v1", "/health"), timeout=5).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
