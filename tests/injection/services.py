"""The services as an operator runs them: each is started, watched by its health, and started again after it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from streams.health.report import HasHealth
from streams.notify.service import Notifier
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from streams.worker.worker import Worker
from tests.injection.primitives import Event
from tests.injection.simulation import Process, SimThread
from tests.injection.world import World

#: Virtual seconds until an ended service is started again, and between two looks at its health.
RESTART_S = 1.0
LOOK_S = 0.5

#: By name, called with the settings, how often it was started, and whether the sink makes deliveries itself.
BUILD: dict[str, Callable[[Settings, int, bool], Any]] = {
    "sink": lambda settings, start, inline: Sink(settings, notify=inline),
    "worker": lambda settings, start, _: Worker(settings, ["echo"], worker_id=f"worker-{start}", device="cpu"),
    "lease worker": lambda settings, start, _: Worker(settings, ["leased"], worker_id=f"leaser-{start}", device="cpu"),
    "timekeeper": lambda settings, start, _: Timekeeper(settings),
    "notify": lambda settings, start, _: Notifier(settings),
}


class Ending:
    """How one start of a service ended. `error` is None after a return."""

    def __init__(self, at: float, process: Process, error: BaseException | None, why: str) -> None:
        self.at, self.process, self.error, self.why = at, process, error, why


class KeptService:
    """Runs on two threads of the driver: one starts the service again, one looks at its health."""

    def __init__(self, world: World, name: str, *, inline: bool) -> None:
        self._world = world
        self._inline = inline
        self.name = name
        self.endings: list[Ending] = []
        #: When its health gave reasons, and which.
        self.faults: list[tuple[float, Process, tuple[str, ...]]] = []
        self.process: Process | None = None
        self._service: HasHealth | None = None
        self._stopping = Event()
        self._stop: threading.Event | Any = Event()
        self._threads = [SimThread(target=self._keep), SimThread(target=self._watch)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _keep(self) -> None:
        start = 0
        while not self._stopping.is_set():
            start += 1
            self._stop = Event()
            process = self.process = self._world.simulation.process(self.name)
            thread = SimThread(target=self._run, args=(start,), name="main", process=process)
            thread.start()
            thread.join()
            self._service = None
            if not process.dead:
                error = thread.error
                if error is not None:
                    process.died.remove(error)
                self.endings.append(Ending(self._world.simulation.now, process, error, "it ended"))
                self._world.simulation.kill(process)
            self._stopping.wait(RESTART_S)

    def _run(self, start: int) -> None:
        service = BUILD[self.name](self._world.settings, start, self._inline)
        self._service = service
        service.run(self._stop)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_S):
            service, process = self._service, self.process
            if service is None or process is None or process.dead:
                continue
            health = service.health(ask=False)
            if health.reasons:
                self.faults.append((self._world.simulation.now, process, health.reasons))
            if not health.alive:
                why = "; ".join(health.reasons)
                self.endings.append(Ending(self._world.simulation.now, process, None, f"health said dead: {why}"))
                self._world.simulation.kill(process)
