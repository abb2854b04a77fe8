"""A component that exists and does not answer: its processes are stopped, and continue at the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import psutil
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

from streams.log import kafka
from streams.settings import Settings
from streams.stack import process

BACK_S = 60.0


@contextmanager
def frozen(*ports: int) -> Iterator[None]:
    """Stop the processes that listen on these ports, and their children (Postgres has one for each connection)."""
    with ExitStack() as thaw:
        for port in ports:
            for pid in _family(port):
                thaw.callback(_send, pid, signal.SIGCONT)
                _send(pid, signal.SIGSTOP)
        yield


def wait_until_kafka_is_back(settings: Settings) -> None:
    """Wait until the broker creates topics again: a controller fences a broker that was stopped for long for some seconds."""
    admin, name, until = kafka.admin(settings), f"{settings.topic_prefix}is-back", time.monotonic() + BACK_S
    while time.monotonic() < until:
        try:
            admin.create_topics([NewTopic(name, 1, 1)], request_timeout=5.0)[name].result(10.0)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
        else:
            return
    raise AssertionError(f"Kafka was not back within {BACK_S:g} s")


def kafka_port(settings: Settings) -> int:
    return int(settings.bootstrap.rpartition(":")[2])


def postgres_port(settings: Settings) -> int:
    port = urlsplit(settings.database).port
    assert port is not None
    return port


def _family(port: int) -> list[int]:
    listening = [psutil.Process(pid) for pid in psutil.pids() if process.listens_on(pid, port)]
    assert listening, f"no process on this machine listens on port {port}; this test stops it, so it must run here"
    children = [child for parent in listening for child in parent.children()]
    return list(dict.fromkeys(each.pid for each in [*listening, *children]))


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
