"""Starts, watches and ends processes that outlive the command that started them.

Every service runs in a session of its own, so that Ctrl-C in the terminal never reaches it, and has a record with its pid and
birth (see process.py). A dead service may leave processes behind: children of a killed parent, or a process without a record
because the command that started it was killed. These are found by process group and by a mark in their environment, and
ended before the service is started again.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import StartupError
from streams.stack import logfile, ports, process
from streams.stack.process import ProcessId
from streams.stack.process_records import ProcessRecord, ProcessRecords

_PAUSE = 0.05
_AFTER_KILL_SECONDS = 10.0

# Children of this process, until they are reaped: an unreaped one would stay a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


@atexit.register
def _leave_running() -> None:
    """Mark running children as ended, so that subprocess does not warn that they outlive this process."""
    for child in _children.values():
        if child.poll() is None:
            child.returncode = 0


@dataclass(frozen=True)
class ServiceSpec:
    """A process to run, and how to see that it is ready."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str]
    """The complete environment of the process; nothing is inherited."""
    ready: Callable[[], bool] = lambda: True
    """Called about 20 times a second while the process starts; an OSError counts as False."""
    cwd: Path | None = None
    ports: tuple[int, ...] = ()
    """Ports that the process itself must listen on before `ready` is called."""
    user: int | None = None
    """User id to run as, if this command runs as root and the program refuses to."""
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 60.0
    stop_seconds: float = 20.0
    facts: Mapping[str, str] = field(default_factory=dict)
    """Stored in the record: version and address of a component; the addresses that a service was started with. A running
    process with other facts is replaced by `LocalStack.run`."""
    replaces: bool = False
    """Start a new process in place of a running one, because it holds settings of its start."""


def never_cancelled() -> None:
    """The `check` of a caller that never cancels."""


class ProcessSupervisor:
    """Starts and stops services whose records live in one folder."""

    def __init__(self, folder: Path) -> None:
        self._records = ProcessRecords(folder)
        self._mark_prefix = f"SLUICE_SERVICE={folder.resolve()}#"

    def names(self) -> list[str]:
        """Return every service with a record, alive or not, in the order they were started."""
        return [record.name for record in self.records()]

    def records(self) -> list[ProcessRecord]:
        """Return the last record of every service, in the order they were started."""
        return self._records.all()

    def record(self, name: str) -> ProcessRecord | None:
        """Return the last record of the service; its process may be gone (see `running`)."""
        return self._records.read(name)

    def running(self, name: str) -> ProcessRecord | None:
        """Return the record of the service if its process is alive."""
        record = self._records.read(name)
        return record if record is not None and _alive(record.process) else None

    def start(self, service: ServiceSpec, check: Callable[[], None] = never_cancelled) -> ProcessRecord:
        """Start the service and wait until it is ready. `check` may raise to cancel; then nothing is left running.

        Raises StartupError.
        """
        earlier = self._records.read(service.name)
        self.clear(service.name)
        check()
        record = self._spawn(service)
        try:
            self._await_ready(service, record, check)
        except BaseException:
            self._end(record, service.stop_signal, seconds=1.0)
            # A service that has run before stays known, as dead: it is still wanted until `stop`.
            self._records.write(earlier) if earlier is not None else self._records.remove(service.name)
            raise
        return record

    def spawn(self, service: ServiceSpec, stop_seconds: float | None = None) -> ProcessRecord:
        """Start the service without waiting until it is ready. `stop_seconds`: of the running one, if it hangs."""
        self.clear(service.name, stop_seconds)
        return self._spawn(service)

    def answers(self, service: ServiceSpec, seconds: float, check: Callable[[], None] = never_cancelled) -> bool:
        """Return whether the service runs and is ready, or becomes ready within `seconds`."""
        give_up = time.monotonic() + seconds
        while (record := self.running(service.name)) is not None:
            # For some milliseconds after its SIGKILL a process still looks ready.
            if _is_ready(service, record.process.pid) and not process.was_killed(record.process.pid):
                return True
            check()
            if time.monotonic() > give_up:
                return False
            time.sleep(_PAUSE)
        return False

    def sweep(self) -> int:
        """End every process that a supervisor of this folder started and that has no record; returns their number."""
        orphans = [each for each in process.carriers(self._mark_prefix) if each.pid != os.getpid()]
        _end_all(orphans, signal.SIGTERM, seconds=5.0)
        return len(orphans)

    def stop(self, name: str) -> bool:
        """End the service and every process it left; returns whether it was running."""
        record = self._records.read(name)
        if record is None:
            return False
        was_running = _alive(record.process)
        self._end(record, record.stop_signal, record.stop_seconds)
        self._records.remove(name)
        return was_running

    def clear(self, name: str, stop_seconds: float | None = None) -> None:
        """End every process that an earlier run of this service left behind, with or without a record; the record stays."""
        if (record := self._records.read(name)) is not None:
            self._end(record, record.stop_signal, record.stop_seconds if stop_seconds is None else stop_seconds)
        _end_all(process.carriers(self._mark(name)), signal.SIGTERM, seconds=5.0)

    def _mark(self, name: str) -> str:
        # Ends with a semicolon, so that "worker" does not match "worker-2".
        return f"{self._mark_prefix}{name};"

    def _spawn(self, service: ServiceSpec) -> ProcessRecord:
        logfile.bound(service.log)
        service.log.parent.mkdir(parents=True, exist_ok=True)
        variable, _, value = self._mark(service.name).partition("=")
        try:
            with service.log.open("ab") as log:
                child = subprocess.Popen(
                    service.argv,
                    env={**service.env, variable: value},
                    cwd=service.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=service.user,
                    group=service.user,
                    extra_groups=None if service.user is None else [],
                )
        except OSError as error:
            raise StartupError(f"{service.name} can't be started: {error}.") from error
        _children[child.pid] = child
        found = process.identify(child.pid) or ProcessId(child.pid, "gone")
        record = ProcessRecord.new(
            service.name, found, service.log, service.facts, service.stop_signal, service.stop_seconds
        )
        self._records.write(record)
        return record

    def _await_ready(self, service: ServiceSpec, record: ProcessRecord, check: Callable[[], None]) -> None:
        give_up = time.monotonic() + service.start_seconds
        while not _is_ready(service, record.process.pid):
            check()
            if not _alive(record.process):
                raise _failed(service, f"{service.name} ended while starting{_exit_status(record.process.pid)}.")
            if time.monotonic() > give_up:
                raise _failed(service, f"{service.name} was not ready within {service.start_seconds:.0f} s.")
            time.sleep(_PAUSE)

    def _end(self, record: ProcessRecord, first: signal.Signals, seconds: float) -> None:
        """Signal the leader and wait, then kill it if it still runs; then end the rest of its group the same way."""
        _end_all([record.process], first, seconds)
        if process.identify(record.process.pid) is None:
            # The leader is gone and its pid is unused, so the group with this id is the one it started.
            _end_all(process.group_members(record.process.pid), signal.SIGTERM, seconds=2.0)
        _end_all(process.carriers(self._mark(record.name)), signal.SIGTERM, seconds=2.0)


def _alive(identity: ProcessId) -> bool:
    child = _children.get(identity.pid)
    if child is not None and child.poll() is not None:
        return False
    return process.alive(identity)


def _exit_status(pid: int) -> str:
    child = _children.get(pid)
    return "" if child is None or child.returncode is None else f" (exit status {child.returncode})"


def _is_ready(service: ServiceSpec, pid: int) -> bool:
    # Cheapest first: finding the process behind a port reads all its open files.
    if not all(ports.answered(port) and process.listens_on(pid, port) is not False for port in service.ports):
        return False
    try:
        return service.ready()
    except OSError:
        return False


def _failed(service: ServiceSpec, what: str) -> StartupError:
    end = logfile.tail(service.log)
    return StartupError(what, next_step=f"Its log {service.log} ends with:\n{end}" if end else "Its log is empty.")


def _end_all(targets: list[ProcessId], first: signal.Signals, seconds: float) -> None:
    for target in targets:
        _send(target, first)
    if not _all_gone(targets, seconds):
        for target in targets:
            _send(target, signal.SIGKILL)
        _all_gone(targets, _AFTER_KILL_SECONDS)
    for target in targets:
        if (child := _children.get(target.pid)) is not None and child.poll() is not None:
            del _children[target.pid]


def _send(target: ProcessId, number: signal.Signals) -> None:
    if _alive(target):
        with suppress(ProcessLookupError):
            os.kill(target.pid, number)


def _all_gone(targets: list[ProcessId], seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while any(_alive(target) for target in targets):
        if time.monotonic() > give_up:
            return False
        time.sleep(_PAUSE)
    return True
