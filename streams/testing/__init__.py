"""For those who write processors: run one, or a whole flow around it, within a test and without a broker (docs/testing.md).

    from streams.testing import Flow, run_processor

What runs is the engine's own: submitter, intake, batches, result writer, sink, timekeeper, courier. Only the log and the
database are twins in memory, and the worker has no process of its own. Importing this imports nothing heavy.
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
