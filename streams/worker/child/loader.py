"""Finds and loads a processor by its entry points, loudly. Only the child calls this: it imports torch and the like.

The entry point `<processor>` is its default version; `<processor>@<label>` are others, for rolling out. Which version one is,
its class says (`version`); the label only tells entry points apart.
"""

from __future__ import annotations

import inspect
import time
import traceback
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from processors.protocol import AnyProcessor, LoadContext, Processor
from processors.rollout import Rollout
from schemas.contract import unknown_processor
from schemas.errors import SluiceError, StartupError
from streams import logs
from streams.worker.child.context import WorkerLoadContext

log = logs.get("worker")

GROUP = "sluice.processors"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One version, ready to work."""

    processor: AnyProcessor
    context: WorkerLoadContext


def load_processor(name: str, device: str, weights_dir: Path | None) -> tuple[AnyProcessor, WorkerLoadContext]:
    """The processor called `name`, in its default version. Raises as `load_versions`."""
    (loaded,) = load_versions(name, None, device, weights_dir)
    return loaded.processor, loaded.context


def load_versions(name: str, rollout: Rollout | None, device: str, weights_dir: Path | None) -> list[Loaded]:
    """Each version that the rollout names, the default first, after its `load` and its `warm_up`.

    Raises StartupError with the real traceback, or for a version that is not installed; UnknownProcessor.
    """
    points = {point.name: point for point in entry_points(group=GROUP) if point.name.partition("@")[0] == name}
    if name not in points:
        raise unknown_processor(name)
    versions = () if rollout is None else rollout.shares
    made = [_version(points, name, version) for version in versions] or [_made(points[name])]
    return [load(processor, device, weights_dir) for processor in made]


def _version(points: dict[str, EntryPoint], name: str, version: str) -> AnyProcessor:
    """The one that says it is `version`. Others are imported only while they may be it: to roll back must not depend on the
    version that is rolled back."""
    seen = []
    first = f"{name}@{version}"  # most call it so
    for point in sorted(points.values(), key=lambda point: (point.name != first, point.name)):
        try:
            processor = _made(point)
        except StartupError as error:
            seen.append(f"one that can't be imported ({point.name}): {error.message}")
            continue
        if processor.version == version:
            return processor
        seen.append(f"{processor.version} ({point.name})")
    raise StartupError(
        f"Processor {name!r} has no version {version!r}. Installed: {', '.join(seen)}.",
        next_step=f"Change SLUICE_ROLLOUT, or install what has the entry point '{first}'.",
    )


def _made(point: EntryPoint) -> AnyProcessor:
    """An instance, not loaded: the entry point names a class, or a package that hands one out."""
    try:
        found: Any = point.load()
        made = found() if inspect.isclass(found) else found
    except (Exception, SystemExit) as error:
        raise _broken(point.name, point.value, error) from error
    if not isinstance(made, Processor):
        raise StartupError(f"{found!r} is no processor: it lacks a part of processors.protocol.Processor.")
    return made


def load(processor: AnyProcessor, device: str, weights_dir: Path | None) -> Loaded:
    """A processor after its `load` and its `warm_up`. Raises StartupError with the real traceback."""
    context, began = WorkerLoadContext(type(processor), device, weights_dir), time.perf_counter()
    name, version = processor.name, processor.version
    try:
        processor.load(cast(LoadContext, context))  # a property there, a plain attribute in the protocol
        warm_up = getattr(processor, "warm_up", None)
        if warm_up is not None:
            warm_up()
    except SluiceError as error:
        raise StartupError(
            f"Processor {name!r} (version {version}) can't start: {error.message}", next_step=error.next_step
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, f"version {version}", error) from error
    log.info("loaded", processor=name, version=version, device=context.used_device, seconds=_seconds_since(began))
    return Loaded(processor, context)


def _broken(name: str, which: str, error: BaseException) -> StartupError:
    return StartupError(
        f"Processor {name!r} ({which}) can't start: {type(error).__name__}: {error}.\n{traceback.format_exc()}"
    )


def _seconds_since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
