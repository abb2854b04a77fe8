"""Compares `embed` behind sluice with `embed` behind servers of models: the same network, images and client, over HTTP.

    python -m bench.serving [--rounds 3] [--count 2000] [--at-once 64]

sluice stores each job and its result; the client submits it to the gateway, waits for its end and reads the result, three
requests. The servers keep nothing: a request that is under way when they die is lost.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.compare.figures import Latency, latency_of, spread
from bench.compare.peers import PEERS, PROGRAMS, SLUICE, command
from bench.compare.processes import Processes, terminated_like_interrupted
from bench.compare.report import cell
from bench.compare.run import Backends, backends
from schemas.errors import SluiceError, StartupError
from streams.cli.output import err, out, table
from streams.settings import load_settings
from streams.stack import ports

SERVERS = {"mosec": "serve_mosec.py", "LitServe": "serve_litserve.py"}
SYSTEMS = (SLUICE, *SERVERS)
_START_S = 120.0
#: Vectors may differ this much between batches of other sizes.
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class ServingRound:
    """A system in one round. `per_s`: requests a second, so many at once. `idle`: one at a time."""

    system: str
    per_s: float
    busy: Latency
    idle: Latency
    vectors: Sequence[Sequence[float]]


def same(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> bool:
    """Return whether two systems' vectors of the same images are equal, but for rounding."""
    pairs = zip(one, other, strict=True)
    return all(abs(a - b) <= _TOLERANCE for left, right in pairs for a, b in zip(left, right, strict=True))


def measure(rounds: int, count: int, at_once: int) -> tuple[list[ServingRound], dict[str, str]]:
    """Visit each system once a round. Returns the rounds, and why a system is missing by its name."""
    settings = load_settings().model_copy(update={"processors": ("embed",)})
    found: list[ServingRound] = []
    missing: dict[str, str] = {}
    with terminated_like_interrupted(), backends(settings, for_peers=False) as shared:
        for number in range(1, rounds + 1):
            for system in (each for each in SYSTEMS if each not in missing):
                err(f"round {number} of {rounds}: {system}")
                try:
                    with _gateway(shared) if system == SLUICE else _server(system, shared.home) as url:
                        found.append(_visit(system, url, count, at_once))
                except SluiceError as error:
                    missing[system] = str(error)
    return found, missing


def _visit(system: str, url: str, count: int, at_once: int) -> ServingRound:
    _ask(system, url, at_once, max(at_once, count // 4))  # warm
    busy, idle = _ask(system, url, at_once, count), _ask(system, url, 1, max(20, count // 20))
    return ServingRound(system, busy["per_s"], latency_of(busy["ms"]), latency_of(idle["ms"]), busy["vectors"])


def _ask(system: str, url: str, at_once: int, count: int) -> dict[str, Any]:
    way = SLUICE if system == SLUICE else "direct"
    ran = subprocess.run(
        command(("serving_client.py", url, way, str(at_once), str(count))), capture_output=True, text=True, check=False,
        cwd=PROGRAMS,
    )  # fmt: skip
    if ran.returncode != 0:
        raise StartupError(f"The client of {system} failed: {ran.stderr.strip().splitlines()[-1]}")
    parsed: dict[str, Any] = json.loads(ran.stdout)
    return parsed


@contextmanager
def _gateway(shared: Backends) -> Iterator[str]:
    """Run sluice; yields the URL of its gateway."""
    with shared.services(PEERS[SLUICE]):
        yield shared.gateway()


@contextmanager
def _server(system: str, home: Path) -> Iterator[str]:
    """Run a server; yields the URL of the model. Raises StartupError if it does not answer."""
    port = next(port for port in ports.candidates(18_571) if ports.free(port))
    with Processes(home / "logs" / system, {}) as processes:
        processes.start(system, command((SERVERS[system], "--port", str(port))), PROGRAMS)
        url, give_up = f"http://{ports.HOST}:{port}/embed", time.monotonic() + _START_S
        while not _answers(url):
            processes.check()
            if time.monotonic() > give_up:
                raise StartupError(f"{system} does not answer after {_START_S:.0f} s.")
            time.sleep(0.2)
        yield url


def _answers(url: str) -> bool:
    body = json.dumps({"pixels": [0.0] * 64}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def text(found: Sequence[ServingRound], missing: dict[str, str]) -> str:
    """Return the table, a line for each ratio, and what is missing or differs."""
    head = ("SYSTEM", "requests/s", "busy p50 ms", "busy p99 ms", "idle p50 ms", "idle p99 ms")
    by_system = {name: [each for each in found if each.system == name] for name in SYSTEMS}
    rows = []
    for name, of in by_system.items():
        if of:
            figures = ([e.per_s for e in of], [e.busy.p50_ms for e in of], [e.busy.p99_ms for e in of],
                       [e.idle.p50_ms for e in of], [e.idle.p99_ms for e in of])  # fmt: skip
            rows.append([name, *(cell(spread(values)) for values in figures)])
    lines = [table(rows, head)]
    for name in SERVERS:
        pairs = list(zip(by_system[SLUICE], by_system[name], strict=False))
        if pairs:
            lines.append(f"requests/s ÷ {name}: {cell(spread([own.per_s / other.per_s for own, other in pairs]))}")
    lines += [
        f"DIFFERS: {each.system} from {found[0].system}" for each in found if not same(each.vectors, found[0].vectors)
    ]
    return "\n".join([*lines, *(f"NOT MEASURED: {name}: {why}" for name, why in missing.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="visits of each system (default 3)")
    parser.add_argument("--count", type=int, default=2000, help="requests of each visit (default 2000)")
    parser.add_argument("--at-once", type=int, default=64, help="requests at the same time (default 64)")
    options = parser.parse_args()
    out(text(*measure(options.rounds, options.count, options.at_once)))


if __name__ == "__main__":
    main()
