"""Finds services and components that run but hang, by asking each whether it is alive."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.health.ask import get
from streams.health.service_files import ServiceFile, running
from streams.stack.local_stack import COMPONENTS, LocalStack
from streams.stack.process import ProcessId
from streams.stack.process_records import ProcessRecord

ASK_EVERY_S = 5.0
_ANSWER_S = 5.0
#: Seconds without a good answer after which a process counts as hung. A component may be recovering its data.
SERVICE_S = 30.0
COMPONENT_S = 90.0
#: Seconds after its start in which a service must have opened its health server.
STARTUP_S = 120.0

#: A fault, and the seconds that it may last.
Fault = tuple[str, float]


class HangWatch:
    """Asks in a thread of its own. `hung` may be read from other threads."""

    def __init__(self, stack: LocalStack, home: Path, itself: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`itself`: the name of the service that asks; it can't ask itself."""
        self._stack = stack
        self._home = home
        self._itself = itself
        self._clock = clock
        self._since: dict[ProcessId, float] = {}
        self._hung: dict[ProcessId, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Ask every few seconds until `stop` is set."""
        while not stop.wait(ASK_EVERY_S):
            self.ask()

    def hung(self, process: ProcessId) -> str | None:
        """Return why the process counts as hung, else None."""
        return self._hung.get(process)

    def ask(self) -> None:
        """Ask everything that runs, at the same time."""
        records = [each for each in self._stack.wanted() if each.name != self._itself]
        if not records:
            return
        files = {file.pid: file for file in running(self._home) if file.here}
        with ThreadPoolExecutor(len(records)) as pool:
            faults = pool.map(lambda each: self._fault(each, files.get(each.process.pid)), records)
            self._note({record.process: fault for record, fault in zip(records, faults, strict=True)})

    def _note(self, faults: dict[ProcessId, Fault | None]) -> None:
        now = self._clock()
        self._since = {each: self._since.get(each, now) for each, fault in faults.items() if fault is not None}
        self._hung = {
            each: f"{fault[0]} for {now - self._since[each]:.0f} s"
            for each, fault in faults.items()
            if fault is not None and now - self._since[each] >= fault[1]
        }

    def _fault(self, record: ProcessRecord, file: ServiceFile | None) -> Fault | None:
        if record.name in COMPONENTS:
            answers = COMPONENTS[record.name].answers(record.facts["address"])
            return None if answers else ("has not answered", COMPONENT_S)
        if file is None:
            return "has not opened its health server", STARTUP_S
        return None if not file.url else _of_service(file.url)


def _of_service(url: str) -> Fault | None:
    try:
        status, body = get(url, "/livez", _ANSWER_S)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"has not answered /livez ({type(error).__name__})", SERVICE_S
    if status == http.client.OK:
        return None
    return f"has not been alive ({'; '.join(map(str, body.get('reasons', [])))})", SERVICE_S
