"""Runs a processor, or a whole flow around it, within a test and without a broker (docs/testing.md).

    from streams.testing import Flow, run_processor

The parts are the engine's own: submitter, decoder, executor, result writer, sink, timekeeper, notifier. Only the log and the
database are in-memory twins, and the worker has no child process. Importing this package imports nothing heavy.

May import: connectors, connectors.{callbacks,memory}, processors,
streams.{client,health,log,notify,sink,timekeeper,wiring,worker}, streams.worker.{child,kafka_source}. Start reading at
`flow.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.testing.backend import Callback
    from streams.testing.flow import Flow
    from streams.testing.one import run_processor

__all__ = ["Callback", "Flow", "run_processor"]

_HOMES = {
    "Callback": "streams.testing.backend",
    "Flow": "streams.testing.flow",
    "run_processor": "streams.testing.one",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
