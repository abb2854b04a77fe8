"""A worker: one engine per processor, each with its own child, and its own consumer group or its claims on the lease store."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from schemas.contract import AnyContract, contract, known_processors, unknown_processor
from schemas.errors import ExitCode, StartupError, Unreachable
from schemas.ids import new_id
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health, evaluate
from streams.log.reconnect import Stopped, until_reachable
from streams.settings import Settings
from streams.worker.engine import Engine
from streams.worker.protocol import ChildConfig, TopicReplaced, child_settings
from streams.worker.scratch import Scratch
from streams.worker.supervision.startup import combined_error
from streams.worker.transport import Transport

log = logs.get("worker")

#: How long a worker that ends with a start-up error waits for the other processors to load or fail, to report them all.
GATHER_S = 10.0


class Worker:
    def __init__(
        self,
        settings: Settings,
        processors: Sequence[str],
        *,
        worker_id: str | None = None,
        device: str | None = None,
    ) -> None:
        self._settings = settings
        self._contracts = [contract(name) for name in processors]
        for name in settings.rollouts:
            if name not in known_processors():
                raise unknown_processor(name)
        self._device = device or settings.device
        self._engines: list[Engine] = []
        self._faults: dict[str, BaseException] = {}  # by processor
        self._waits_for = "it is starting"
        self._threads = LoopThreads("worker", log)
        self._transport = open_transport(settings, self._threads)
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}-{new_id()[-6:]}"

    def status(self) -> dict[str, Any]:
        """Return counters, for humans and metrics."""
        return {"worker": self.worker_id, "engines": [engine.status() for engine in self._engines]}

    def health(self, *, ask: bool = True) -> Health:
        """Ready when each processor's child is ready, and its group has assigned partitions to it."""
        engines = self._engines
        missing = [engine.why_not_ready() for engine in engines]
        details = [
            health_details(engine.status(), reason is None) for engine, reason in zip(engines, missing, strict=True)
        ]
        fault = self._transport.fault() if ask else None
        gateway = {"gateway": self._settings.worker_gateway or None, "reachable": fault is None} if ask else {}
        return evaluate(
            [engine.health for engine in engines],
            time.monotonic(),
            missing=[fault, *(missing or [self._waits_for])],
            dead=self._threads.dead,
            details={"worker": self.worker_id, **gateway, "engines": details},
        )

    def run(self, stop: threading.Event) -> int:
        """Work until `stop` is set, then finish the jobs in flight. Raises StartupError, LoopDied, and an engine's error.

        While Kafka or the registry is away at the start it waits, however long; its health says for what.
        """
        self._threads.run_until(stop)
        with ExitStack() as stack:
            scratch = Scratch(self._settings.home / "work", self.worker_id)
            stack.callback(scratch.remove)
            commands = self._transport.commands
            stack.callback(commands.stop)
            configs = self._configs(scratch.path, self._contracts, stop)
            commands.start()
            self._engines = [self._engine(config) for config in configs]
            _quiet_the_collector()
            self._run_engines(scratch.path, stop)
        if self._faults:
            raise self._fault()
        self._threads.raise_if_dead()
        return ExitCode.OK

    def _engine(self, config: ChildConfig) -> Engine:
        return Engine(self._settings, config, self._transport, self._threads)

    def _run_engines(self, scratch: Path, stop: threading.Event) -> None:
        """Run each engine in a thread that lives as long as the worker; the first that fails stops the others."""

        def run(number: int) -> None:
            try:
                self._run_engine(number, scratch, stop)
            except BaseException as error:  # noqa: BLE001 - raised again by `run`, on the caller's thread
                self._faults[self._contracts[number].name] = error
                if isinstance(error, StartupError):
                    self._wait_for_other_starts(stop)
                stop.set()

        if len(self._engines) == 1:
            self._run_engine(0, scratch, stop)
            return
        threads = [threading.Thread(target=run, args=(i,), name=f"engine-{i}") for i in range(len(self._engines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_engine(self, number: int, scratch: Path, stop: threading.Event) -> None:
        """Run one engine; a new one in its place once its topic was made again."""
        while True:
            try:
                return self._engines[number].run(stop)
            except TopicReplaced as error:
                log.warning("topic_made_again", processor=self._contracts[number].name, reason=str(error))
            configs = self._configs(scratch, self._contracts[number : number + 1], stop)
            if not configs:
                return None
            self._engines[number] = self._engine(configs[0])

    def _wait_for_other_starts(self, stop: threading.Event) -> None:
        """Give the other processors a moment to start or fail, so that the error names all that can't start."""
        until = time.monotonic() + GATHER_S
        while time.monotonic() < until and not all(
            engine.could_start or engine.processor in self._faults for engine in self._engines
        ):
            if stop.wait(0.1):
                return

    def _fault(self) -> BaseException:
        """Return the error that ended the worker."""
        others = [engine for engine in self._engines if engine.processor not in self._faults]
        started = [engine.processor for engine in others if engine.could_start]
        return combined_error(self._faults, started, [e.processor for e in others if not e.could_start])

    def _configs(self, scratch: Path, contracts: Sequence[AnyContract], stop: threading.Event) -> list[ChildConfig]:
        """Wait for Kafka and the registry, or the gateway; [] when stopped meanwhile."""

        def ask() -> list[ChildConfig]:
            try:
                return [self._config(each, scratch) for each in contracts]
            except Unreachable as error:
                self._waits_for = f"it is starting and waits: {error.message}"
                raise

        try:
            return until_reachable(ask, stop, log, "waiting")
        except Stopped:
            return []

    def _config(self, made: AnyContract, scratch: Path) -> ChildConfig:
        facts = self._transport.facts(made)
        return ChildConfig(
            processor=made.name,
            worker_id=self.worker_id,
            device=self._device,
            scratch=str(scratch),
            settings=child_settings(self._settings),
            topics=facts.topics,
            schema_ids=facts.schema_ids,
        )


def open_transport(settings: Settings, threads: LoopThreads) -> Transport:
    """Return Kafka's transport, or the gateway's if this machine has one. Loads only what the chosen one needs."""
    if settings.worker_gateway:
        from streams.worker.gateway.transport import GatewayTransport

        return GatewayTransport(settings, threads)
    from streams.worker.kafka_transport import KafkaTransport

    return KafkaTransport(settings, threads)


def health_details(status: Mapping[str, Any], ready: bool) -> dict[str, Any]:
    """Return the status of an engine that is ready or not, with the facts from its child's READY message, flat."""
    child = status.get("ready") or {}
    facts = {
        "device": child.get("device"),
        "device_reason": child.get("device_reason"),
        "device_fallback": bool(child.get("device_fallback")),
        "versions": child.get("versions") or {},
    }
    own = {key: value for key, value in status.items() if key != "ready" and value is not None}
    return {**facts, **own, "standby": ready and status.get("partitions") == 0}


def _quiet_the_collector() -> None:
    """Exempt all present objects from collection: they live as long as the process, and jobs leave no cycles (measured: +12 %
    throughput)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
