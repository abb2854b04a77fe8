"""Finds and loads a processor by its entry point, loudly. Only the child calls this: it imports torch and the like."""

from __future__ import annotations

import inspect
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from processors.protocol import AnyProcessor, LoadContext, Processor
from schemas.contract import unknown_processor
from schemas.errors import SluiceError, StartupError
from streams.worker.context import WorkerLoadContext

GROUP = "sluice.processors"


def load_processor(name: str, device: str, weights_dir: Path | None) -> tuple[AnyProcessor, WorkerLoadContext]:
    """The processor called `name`, after its `load`. Raises StartupError with the real traceback, or UnknownProcessor."""
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise unknown_processor(name)
    try:
        made = _made(found[0].load())
        context = WorkerLoadContext(type(made), device, weights_dir)
        made.load(cast(LoadContext, context))  # a property there, a plain attribute in the protocol
    except SluiceError as error:
        raise StartupError(f"Processor {name!r} can't start: {error.message}", next_step=error.next_step) from error
    except (Exception, SystemExit) as error:
        raise StartupError(
            f"Processor {name!r} ({found[0].value}) can't start: {type(error).__name__}: {error}.\n"
            f"{traceback.format_exc()}"
        ) from error
    return made, context


def _made(found: Any) -> AnyProcessor:
    """An instance: the entry point names a class, or a package that hands one out."""
    made = found() if inspect.isclass(found) else found
    if not isinstance(made, Processor):
        raise StartupError(f"{found!r} is no processor: it lacks a part of processors.protocol.Processor.")
    return made
