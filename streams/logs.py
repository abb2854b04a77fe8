"""Logging of every service: structlog, readable on a terminal and JSON elsewhere, always to stderr.

Log only ids, codes, counts and durations; never an input, an output, or an error's details, which may hold patient data.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog


def configure(level: str = "info", fmt: str = "auto", **bound: Any) -> None:
    """Configure logging for this process. `bound` (service, worker id, …) is added to every line."""
    numeric = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([] if console else [structlog.processors.dict_tracebacks]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, stderr)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)


class _Stderr(threading.local):
    """Writes to the `sys.stderr` of the moment: loggers are cached, but tests and terminals replace the stream."""

    held: list[str] | None = None

    def write(self, text: str) -> int:
        if self.held is None:
            return sys.stderr.write(text)
        self.held.append(text)
        return len(text)

    def flush(self) -> None:
        if self.held is None:
            sys.stderr.flush()


#: Where the lines go.
stderr = _Stderr()


@contextmanager
def together() -> Iterator[None]:
    """Write the lines of this thread at the end of the block, by one system call."""
    stderr.held = []
    try:
        yield
    finally:
        lines, stderr.held = stderr.held, None
        if lines:
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


def get(name: str) -> Any:
    """Return a logger that adds the part of the system to every line."""
    return structlog.get_logger(part=name)
