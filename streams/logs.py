"""Logging of every service: structlog, readable on a terminal and JSON elsewhere, always to stderr.

Log only ids, codes, counts and durations; never an input, an output, or an error's details, which may hold patient data.
"""

from __future__ import annotations

import logging
import sys
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
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)


class _Stderr:
    """Writes to the `sys.stderr` of the moment: loggers are cached, but tests and terminals replace the stream."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def get(name: str) -> Any:
    """Return a logger that adds the part of the system to every line."""
    return structlog.get_logger(part=name)
