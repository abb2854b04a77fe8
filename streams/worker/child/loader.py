"""Finds a processor by its entry points and loads it. Only the child does this, because it imports torch and the like.

The entry point `<processor>` is the default version; `<processor>@<label>` are others, for a rollout. A version's name comes
from its class (`version`); the label only tells entry points apart.
"""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from processors import weights
from processors.options import option_of, options_of
from processors.protocol import GROUP, AnyProcessor, LoadContext, Processor
from schemas.contract import known_processors, unknown_processor
from schemas.errors import SluiceError, StartupError
from streams import logs

if TYPE_CHECKING:
    from processors.devices import Device
    from processors.rollout import Rollout

log = logs.get("worker")


class WorkerLoadContext:
    """The context of `load`. The device is chosen at the first access: a processor that never asks does not import torch."""

    def __init__(
        self,
        processor: type[Any],
        device: str,
        weights_dir: Path | None,
        options: Mapping[str, str] | None = None,
        *,
        helper: bool = False,
    ) -> None:
        self.helper = helper
        self._processor = processor
        self._given_options = options
        self._wanted = device
        self._weights_dir = weights_dir
        self._picked: Device | None = None

    @cached_property
    def device(self) -> str:
        self._picked = _pick(self._wanted)
        return self._picked.name

    @property
    def picked(self) -> Device:
        """The device that was chosen when the processor asked, and why."""
        from processors.devices import Device

        return self._picked or Device("cpu", "the processor asks for no device")

    @property
    def used_device(self) -> str:
        """The device that the processor asked for; "cpu" if it never did."""
        return self._picked.name if self._picked else "cpu"

    def weights(self, name: str, sha256: str) -> Path:
        beside = weights.weights_beside(self._processor)
        return weights.find_weights(name, sha256, beside=beside, directory=self._weights_dir)

    def option(self, name: str, default: str = "") -> str:
        return option_of(self._processor, name, self._options, default)

    @cached_property
    def _options(self) -> Mapping[str, str]:
        """Return the options that the caller gave, else those of the environment."""
        if self._given_options is not None:
            return self._given_options
        from streams.environment import option_values

        return option_values(options_of(self._processor))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that is ready to work."""

    processor: AnyProcessor
    context: WorkerLoadContext


def load_processor(name: str, device: str, weights_dir: Path | None) -> tuple[AnyProcessor, WorkerLoadContext]:
    """Load the default version of the processor called `name`. Raises like `load_versions`."""
    (loaded,) = load_versions(name, None, device, weights_dir)
    return loaded.processor, loaded.context


def load_versions(
    name: str,
    rollout: Rollout | None,
    device: str,
    weights_dir: Path | None,
    options: Mapping[str, str] | None = None,
    *,
    helper: bool = False,
) -> list[Loaded]:
    """Load each version that the rollout names, the default first: call its `load` and its `warm_up`.

    Raises StartupError with the processor's traceback, or if a version is not installed; UnknownProcessor.
    """
    return [load(each, device, weights_dir, options, helper=helper) for each in import_versions(name, rollout)]


def find_processor(name: str, version: str) -> AnyProcessor:
    """Return the installed processor of this version, without loading it. Raises UnknownProcessor, StartupError."""
    return _find_version(_points(name), name, version)


def import_versions(name: str, rollout: Rollout | None) -> list[AnyProcessor]:
    """Return an instance of each version that the rollout names, the default first, none of them loaded.

    Raises StartupError with the traceback of one that can't be imported, or if a version is not installed; UnknownProcessor.
    """
    points = _points(name)
    versions = () if rollout is None else rollout.shares
    return [_find_version(points, name, version) for version in versions] or [_instance(points[name])]


def _points(name: str) -> dict[str, EntryPoint]:
    """Return the entry points of a processor's versions by their names. Raises UnknownProcessor, StartupError."""
    points = {point.name: point for point in entry_points(group=GROUP) if point.name.partition("@")[0] == name}
    if name in points:
        return points
    if name in known_processors():
        raise StartupError(
            f"Only the contract of processor {name!r} is installed here, not its class.",
            next_step="Install the package that has it, or run its worker elsewhere.",
        )
    raise unknown_processor(name)


def _find_version(points: dict[str, EntryPoint], name: str, version: str) -> AnyProcessor:
    """Return an instance of the processor whose class says that it is `version`.

    Entry points are imported until it is found: a rollback must not depend on the version that is rolled back.
    """
    seen = []
    likely = f"{name}@{version}"  # the usual name for it
    for point in sorted(points.values(), key=lambda point: (point.name != likely, point.name)):
        try:
            processor = _instance(point)
        except StartupError as error:
            seen.append(f"one that can't be imported ({point.name}): {error.message}")
            continue
        if processor.version == version:
            return processor
        seen.append(f"{processor.version} ({point.name})")
    raise StartupError(
        f"Processor {name!r} has no version {version!r}. Installed: {', '.join(seen)}.",
        next_step=f"Change SLUICE_ROLLOUT, or install a package with the entry point '{likely}'.",
    )


def _instance(point: EntryPoint) -> AnyProcessor:
    """Return a processor that is not loaded yet. The entry point names a class, or an attribute that is an instance."""
    try:
        found: Any = point.load()
        processor = found() if inspect.isclass(found) else found
    except (Exception, SystemExit) as error:
        raise _broken(point.name, point.value, error) from error
    if not isinstance(processor, Processor):
        raise StartupError(f"{found!r} is no processor: it lacks a part of processors.protocol.Processor.")
    return processor


def load(
    processor: AnyProcessor,
    device: str,
    weights_dir: Path | None,
    options: Mapping[str, str] | None = None,
    *,
    helper: bool = False,
) -> Loaded:
    """Call a processor's `load` and `warm_up`. Raises StartupError with the processor's traceback.

    `options`: values of its options; None for those of the environment. `helper`: in a process that only prepares and finishes,
    so there is nothing to warm up.
    """
    context = WorkerLoadContext(type(processor), device, weights_dir, options, helper=helper)
    began = time.perf_counter()
    name, version = processor.name, processor.version
    try:
        processor.load(cast(LoadContext, context))  # a property there, a plain attribute in the protocol
        warm_up = getattr(processor, "warm_up", None)
        if warm_up is not None and not helper:
            warm_up()
    except SluiceError as error:
        raise StartupError(
            f"Processor {name!r} (version {version}) can't start: {error.message}", next_step=error.next_step
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, f"version {version}", error) from error
    seconds = round(time.perf_counter() - began, 3)
    log.info("loaded", processor=name, version=version, device=context.used_device, seconds=seconds)
    return Loaded(processor, context)


def _broken(name: str, which: str, error: BaseException) -> StartupError:
    return StartupError(
        f"Processor {name!r} ({which}) can't start: {type(error).__name__}: {error}.\n{traceback.format_exc()}"
    )


@cache
def _pick(wanted: str) -> Device:
    """Pick a device once per process, for all versions: it runs a kernel, and warns the operator."""
    from processors.devices import pick_device

    picked = pick_device(wanted)
    say = log.warning if picked.warning else log.info
    say("device", device=picked.name, reason=picked.reason)
    return picked
