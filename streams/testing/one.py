"""Runs a job through a processor, with no log, no store and no header."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from processors import local
from processors.options import options_of
from processors.protocol import AnyProcessor, LoadContext
from schemas.contract import ProcessorContract
from schemas.envelope import typed_input


def run_processor(
    processor: Any,
    input_: Any,
    *,
    folder: Path | None = None,
    device: str = "cpu",
    options: Mapping[str, str] | None = None,
) -> Any:
    """Return the processor's output for this input. Raises the job's own error; InvalidInput if the input has another type.

    `processor`: its name, its class, or an instance that is loaded. `input_`: its input type, or a mapping with its fields.
    `folder`: where files are saved; without one they are deleted when this returns.
    `options`: values of the processor's options; None for those of the environment.
    """
    made = _loaded(processor, device, options)
    given = typed_input(_contract(made), input_) if isinstance(input_, Mapping) else input_
    if folder is not None:
        return local.run_one(made, given, folder)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        return local.run_one(made, given, Path(scratch))


def _contract(processor: AnyProcessor) -> ProcessorContract[Any, Any]:
    return ProcessorContract(processor.name, processor.request, processor.result)


def _loaded(processor: Any, device: str, options: Mapping[str, str] | None) -> AnyProcessor:
    if isinstance(processor, str):
        from streams.worker.child.loader import load_versions

        return load_versions(processor, None, device, None, options)[0].processor
    if inspect.isclass(processor):
        from streams.environment import option_values

        values = option_values(options_of(processor)) if options is None else options
        made = cast(AnyProcessor, processor())
        made.load(cast(LoadContext, local.LocalLoadContext(processor, device, options=values)))
        return made
    return cast(AnyProcessor, processor)
