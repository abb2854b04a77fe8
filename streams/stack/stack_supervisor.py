"""The process that starts again what `sluice up` started and what has died or hangs since; `sluice up` starts it last.

It restarts what has a record (process_records.py): `sluice down` removes records, a death does not. It takes the lock that `up`
and `down` take, so no process is started twice. `sluice status` shows its failures (restarts.py). If it dies itself,
`status` and `doctor` say so, and the next `sluice up` starts it. See docs/adr/0018.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from schemas.errors import ExitCode, SluiceError
from streams import logs
from streams.health.loop_threads import LoopThreads, frames_of
from streams.health.memory import resident
from streams.health.report import Health, evaluate
from streams.health.server import HealthServer
from streams.health.service_files import register
from streams.health.watchdog import Watchdog
from streams.settings import Settings, load_settings
from streams.stack.hangs import HangWatch
from streams.stack.local_stack import LocalStack
from streams.stack.process import ProcessId
from streams.stack.process_records import ProcessRecord
from streams.stack.restarts import RUNS_WELL_S, Restarts, last_error, utc_now
from streams.stack.services import SUPERVISOR, service
from streams.stack.supervise import ServiceSpec
from streams.stack.task_group import Cancelled

_TURN_S = 0.4
_STOP_S = 20.0

Hung = Callable[[ProcessId], str | None]


class StackSupervisor:
    """Looks several times a second whether everything runs that should, and starts again what does not."""

    def __init__(
        self,
        stack: LocalStack,
        services: Callable[[str], ServiceSpec],
        hung: Hung,
        log: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`services`: returns a service by its name. `hung`: why a running process counts as hung, else None."""
        self._stack = stack
        self._services = services
        self._hung = hung
        self._log = log
        self._clock = clock
        self._failures: dict[str, Restarts] = {}
        #: When to start a dead process again; monotonic, so a step of the clock does not matter.
        self._due: dict[str, float] = {}
        self._started: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Supervise until `stop` is set."""

        def check() -> None:
            if stop.is_set():
                raise Cancelled

        self._write()
        while not stop.wait(_TURN_S):
            try:
                self.turn(check)
            except Cancelled:
                return

    def turn(self, check: Callable[[], None]) -> None:
        """Look at everything once. `check` raises Cancelled to end early."""
        wanted = [record for record in self._stack.wanted() if record.name != SUPERVISOR]
        for name in self._failures.keys() - {record.name for record in wanted}:  # stopped by `sluice down`
            self._forget(name)
        for record in wanted:
            self._look_at(record, check)

    def _look_at(self, record: ProcessRecord, check: Callable[[], None]) -> None:
        name, now = record.name, self._clock()
        reason = self._fault(record)
        if reason is None:
            self._due.pop(name, None)
            failures = self._failures.get(name)
            if failures is None:
                return
            if failures.next_at is not None:  # `sluice up` started it
                self._started[name] = now
                self._set(replace(failures, next_at=None))
            elif failures.in_a_row and now - self._started[name] >= RUNS_WELL_S:
                self._set(replace(failures, in_a_row=0))
            return
        if name not in self._due:
            self._failed(record, reason)
        if self._clock() >= self._due[name]:
            self._start_again(record, check)

    def _fault(self, record: ProcessRecord) -> str | None:
        if not self._stack.alive(record):
            return "has died"
        return self._hung(record.process)

    def _failed(self, record: ProcessRecord, reason: str) -> None:
        error = last_error(record.log, record.started_at)
        failures = self._failures.get(record.name, Restarts(record.name)).failed(reason, error, utc_now())
        self._due[record.name] = self._clock() + failures.wait_s
        facts = {"component": record.name, "pid": record.process.pid, "reason": reason, "in_a_row": failures.in_a_row}
        self._log.error("service_failed", **facts, restart_in_s=failures.wait_s, last_error=error, log=str(record.log))
        self._set(failures)

    def _start_again(self, record: ProcessRecord, check: Callable[[], None]) -> None:
        name = record.name
        hung = record.process if self._stack.alive(record) else None
        try:
            started = self._stack.start_again(name, self._services, check, hung)
        except (SluiceError, OSError) as error:
            # An OSError's text may name a file, never a value of a job.
            text = error.message if isinstance(error, SluiceError) else f"{type(error).__name__}: {error}"
            self._log.error("restart_failed", component=name, error=text, frames=frames_of(error))
            self._failed(record, f"could not be started ({text})")
            return
        del self._due[name]
        self._started[name] = self._clock()
        if started:
            self._log.warning("service_restarted", component=name, times=self._failures[name].times)
        self._set(replace(self._failures[name], next_at=None))

    def _forget(self, name: str) -> None:
        del self._failures[name]
        self._due.pop(name, None)
        self._write()

    def _set(self, failures: Restarts) -> None:
        self._failures[failures.name] = failures
        self._write()

    def _write(self) -> None:
        self._stack.write_restarts(self._failures.values())


def main() -> int:
    """Supervise the stack of SLUICE_HOME until SIGTERM."""
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format, service=SUPERVISOR, pid=os.getpid())
    log, stop = logs.get(SUPERVISOR), threading.Event()
    watchdog = Watchdog(stop, _STOP_S, log)
    watchdog.listen()
    stack, threads, since = LocalStack(settings.home), LoopThreads(SUPERVISOR, log), time.monotonic()
    threads.run_until(stop)
    hangs = HangWatch(stack, settings.home, SUPERVISOR)
    supervisor = StackSupervisor(stack, partial(_service, settings, stack), hangs.hung, log)
    loops = [
        threads.new("restarts", partial(supervisor.run, stop), stop.is_set),
        threads.new("hangs", partial(hangs.run, stop), stop.is_set),
    ]

    def health(ask: bool) -> Health:
        details = {"up_s": round(time.monotonic() - since, 1), "rss": resident(os.getpid())}
        return evaluate([], time.monotonic(), dead=threads.dead, details=details)

    try:
        server = HealthServer("127.0.0.1:0", health, {"service": SUPERVISOR, "pid": os.getpid()}, threads)
        with register(settings.home, SUPERVISOR, server.url):
            for loop in loops:
                loop.start()
            log.info("supervisor_ready")
            stop.wait()
        server.close()
        for loop in loops:
            loop.join()
    finally:
        watchdog.begin()
    return ExitCode.INTERNAL if threads.dead else ExitCode.OK


def _service(settings: Settings, stack: LocalStack, name: str) -> ServiceSpec:
    return service(settings, stack, stack.addresses(), name)


if __name__ == "__main__":
    sys.exit(main())
