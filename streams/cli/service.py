"""What the long-running commands share: logs, and signals that stop them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from schemas.errors import ExitCode
from streams import logs
from streams.settings import Settings, load_settings


class Service(Protocol):
    def run(self, stop: threading.Event) -> object:
        """Work until `stop` is set, then finish what is held and return."""
        ...


def serve(name: str, build: Callable[[Settings], Service], settings: Settings | None = None) -> int:
    """Run a service until SIGTERM or SIGINT; a second SIGINT ends it at once."""
    settings = settings or load_settings()
    logs.configure(settings.log_level, settings.log_format, service=name, pid=os.getpid())
    log, stop = logs.get(name), threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    build(settings).run(stop)
    log.info("stopped")
    return ExitCode.OK
