"""The steps of the demonstration: make volumes, submit, watch, report."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from bench.demo import plan, report, show, watch
from bench.demo.report import Report
from bench.receiver import Receiver
from schemas.errors import SluiceError
from streams import wiring
from streams.settings import Settings

if TYPE_CHECKING:
    from processors.segmentation.samples import Sample

#: How long to wait for every job to end, and then for every callback, in seconds.
PATIENCE_S = 240.0
CALLBACKS_S = 30.0


def demonstrate(settings: Settings, volumes: int, light: int, console: Console) -> Report:
    """Run it on services that are already up. Raises SluiceError if the jobs do not end in time."""
    seed = time.time_ns() // 1_000_000  # other volumes each time
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        console.print(f"A small backend receives callbacks at {receiver.url}", highlight=False)
        samples = _volumes(settings, volumes, seed, console)
        submitted = plan.submit(settings, receiver, samples, light)
        console.print(f"Submitted jobs: {len(submitted.volumes)} MR volumes, {len(submitted.light)} light jobs.")
        with wiring.job_store(settings) as store:
            ended = watch.until_done(
                console, submitted.jobs, lambda: store.counts(batch_id=submitted.batch_id), PATIENCE_S
            )
        if not ended:
            raise SluiceError(
                f"Not every job ended within {PATIENCE_S:.0f} s.",
                next_step="See `sluice status` and the logs it lists.",
            )
        receiver.wait_for(submitted.jobs, CALLBACKS_S)
        result = report.collect(settings, submitted, receiver, _picture_path(settings))
    show.show(console, result)
    return result


def _volumes(settings: Settings, count: int, seed: int, console: Console) -> list[Sample]:
    folder = settings.home / "demo" / "volumes" / str(seed)
    numbers = track(
        range(count), "Making MR volumes with known lesions", console=console, disable=not console.is_terminal
    )
    return [plan.make_volume(folder / str(number), seed + number) for number in numbers]


def _picture_path(settings: Settings) -> Path:
    return settings.home / "demo" / "segmentation.png"
