"""Services for jobs that are claimed by lease: a sink, a timekeeper, an installed processor, and workers on demand."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemas import contract
from schemas.avsc import result_schema
from schemas.plain import to_plain
from schemas.records import EchoInput, EchoOutput, ErrorInfo, JobHeader, Result, ResultInfo, Timings
from streams import wiring
from streams.admin import topics
from streams.client.commands import CommandClient
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.installation import installation
from tests.harness.processors.leased import LEASED, installed
from tests.harness.scribe import Scribe
from tests.harness.services import Service
from tests.harness.waiting import in_thread, wait_until

#: The same worker three times, with logs of its own.
COMMANDS = [["worker", "leased"], ["worker", "leased", "--device", "cpu"], ["worker", "leased", "--device", "auto"]]

#: How long a worker may take to start: two processes that import everything, on a busy machine.
START_S = 90.0


class LeasedServices:
    """A sink and a timekeeper. Submits jobs, and reads their rows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scribe = Scribe(settings)
        self.submitter = Submitter(settings)

    def submit(self, message: str, delay_ms: int = 0, **options: Any) -> str:
        return self.submitter.submit("leased", EchoInput(message, delay_ms), **options).job_id

    def cancel(self, job_id: str) -> None:
        with CommandClient(self.settings) as controls:
            controls.cancel(job_id)

    def state(self, job_id: str) -> tuple[Any, ...]:
        """Return state, execution and owner of a run."""
        found = self.rows("SELECT state, execution, owner FROM runs WHERE job_id = %s", job_id)
        return found[0] if found else ("none", 0, "")

    def owner(self, job_id: str) -> str:
        """Return the worker of a running job."""
        return str(self.state(job_id)[2])

    def lease(self, job_id: str) -> tuple[Any, ...]:
        return self.rows("SELECT state, attempt, execution, losses FROM leases WHERE job_id = %s", job_id)[0]

    def outcome(self, job_id: str) -> tuple[Any, ...]:
        """Return status, error code and worker of an outcome."""
        return self.rows("SELECT status, error_code, worker_id FROM outcomes WHERE job_id = %s", job_id)[0]

    def kinds(self, job_id: str) -> list[str]:
        return sorted(kind for (kind,) in self.rows("SELECT kind FROM history WHERE job_id = %s", job_id))

    def wait(self, job_id: str, state: str) -> None:
        wait_until(lambda: self.state(job_id)[0] == state, lambda: f"{self.state(job_id)}, not {state}")

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.scribe.rows(query, *parameters)

    def publish_result(self, job_id: str, disposition: str, *, execution: int) -> None:
        """Publish a result as a worker would."""
        now = datetime.now(UTC)
        sha256 = self.rows("SELECT input_sha256 FROM jobs WHERE job_id = %s", job_id)[0][0]
        header = JobHeader(job_id, "leased", now, sha256, custody="lease")
        error = None if disposition == "succeeded" else ErrorInfo("OUT_OF_MEMORY", "it broke")
        info = ResultInfo(disposition, "zombie", "cpu", Timings(now, now, now), execution=execution, error=error)
        output = EchoOutput("work", 4) if error is None else None
        topic = self.scribe.names.results("leased")
        encoder = wiring.codec(self.settings).encoder(f"{topic}-value", result_schema(LEASED))
        self.scribe.raw(topic, encoder.encode(to_plain(Result(header, info, output))), [], job_id)


class SharedWorkers:
    """Workers that several tests share; a test says how many it needs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.services: list[Service] = []

    def need(self, count: int) -> None:
        """Start workers until at least `count` are alive and ready."""
        dead = [service for service in self.services if service.process.poll() is not None]
        for service in dead:
            self._ready(service, service.start)
        while len(self.services) < count:
            self.services.append(Service(self._settings, COMMANDS[len(self.services)]))
        for service in self.services:
            wait_until(partial(has_logged, service, "worker_ready"), service.log.read_text, START_S)

    def owner(self, services: LeasedServices, job_id: str) -> Service:
        """Return the worker that runs a job."""
        services.wait(job_id, "PROCESSING")
        (found,) = [service for service in self.services if is_of(services.owner(job_id), service)]
        return found

    def stop(self) -> None:
        for service in self.services:
            if service.process.poll() is None:
                service.process.terminate()
        for service in self.services:
            service.stop()

    def _ready(self, service: Service, start: Any) -> None:
        before = service.log.read_text().count("worker_ready")
        start()
        wait_until(lambda: service.log.read_text().count("worker_ready") > before, service.log.read_text, START_S)


def has_logged(service: Service, event: str) -> bool:
    return event in service.log.read_text()


def is_of(worker_id: str, service: Service) -> bool:
    return f"-{service.pid}-" in worker_id


@contextmanager
def leased_services(stack: Mapping[str, str], folder: Path) -> Iterator[LeasedServices]:
    """Run the services; the processor is installed in this process and in the workers that are started meanwhile."""
    with pytest.MonkeyPatch.context() as patch, installation(stack, folder / "home") as settings:
        patch.setenv("PYTHONPATH", installed(folder / "site"))
        patch.syspath_prepend(str(folder / "site"))
        _forget_contracts()
        try:
            topics.apply(settings, [LEASED])
            services = LeasedServices(settings)
            with in_thread(Sink(settings, notify=False).run), in_thread(Timekeeper(settings).run):
                yield services
            services.scribe.close()
        finally:
            patch.undo()
            _forget_contracts()


def _forget_contracts() -> None:
    importlib.invalidate_caches()
    contract._entry_points.cache_clear()
