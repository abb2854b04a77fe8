"""The order of an engine's last steps."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.engine import Engine
from streams.worker.kafka_transport import KafkaTransport
from streams.worker.protocol import ChildConfig


class Steps:
    """Stands in for an engine's session and its supervisor; notes what is called, in turn."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def drain(self, until: float, tick: Any) -> bool:
        return True

    def close(self) -> None:
        self.calls.append("partitions given up")

    def stop(self, timeout: float) -> None:
        self.calls.append("child stopped")

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: {} if name == "status" else None


def test_a_drained_worker_gives_up_its_partitions_before_it_waits_for_its_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = LoopThreads("worker", None)
    address = f"memory:{uuid.uuid4().hex}"
    settings = Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address)
    config = ChildConfig("echo", "w1", "cpu", str(settings.home), {}, [], {})
    engine, steps, stop = (
        Engine(settings, config, KafkaTransport(settings, threads), threads),
        Steps(),
        threading.Event(),
    )
    session: Any = steps
    monkeypatch.setattr(engine, "_supervisor", steps)
    monkeypatch.setattr(engine, "status", dict)
    stop.set()
    engine._serve(session, stop)
    assert steps.calls == ["partitions given up", "child stopped"]
