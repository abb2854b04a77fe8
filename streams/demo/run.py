"""The demonstration, step by step: start, make volumes, submit, watch, report."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from bench.receiver import Receiver
from schemas.errors import SluiceError
from streams import wiring
from streams.demo import plan, report, show, watch
from streams.demo.report import Report
from streams.settings import Settings

if TYPE_CHECKING:
    from processors.segmentation.samples import Sample

#: Until every job has ended, and then until every callback has come, in seconds.
PATIENCE_S = 240.0
CALLBACKS_S = 30.0


def demonstrate(settings: Settings, volumes: int, light: int, console: Console) -> Report:
    """Run it on services that are up already. Raises SluiceError when jobs do not end."""
    seed = time.time_ns() // 1_000_000  # another set of volumes each time
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        console.print(f"A small backend listens at {receiver.url}", highlight=False)
        samples = _volumes(settings, volumes, seed, console)
        made = plan.submit(settings, receiver, samples, light)
        console.print(f"Submitted {len(made.volumes)} MR volumes and {len(made.light)} light jobs:")
        with wiring.job_store(settings) as store:
            ended = watch.until_done(console, made.jobs, lambda: store.counts(batch_id=made.batch_id), PATIENCE_S)
        if not ended:
            raise SluiceError(
                f"Not every job ended within {PATIENCE_S:.0f} s.",
                next_step="See `sluice status` and the logs it names.",
            )
        receiver.wait_for(made.jobs, CALLBACKS_S)
        told = report.gather(settings, made, receiver, _picture_path(settings))
    show.show(console, told)
    return told


def _volumes(settings: Settings, count: int, seed: int, console: Console) -> list[Sample]:
    folder = settings.home / "demo" / "volumes" / str(seed)
    with_bar = track(
        range(count), "Making MR volumes with known lesions", console=console, disable=not console.is_terminal
    )
    return [plan.make_volume(folder / str(number), seed + number) for number in with_bar]


def _picture_path(settings: Settings) -> Path:
    return settings.home / "demo" / "segmentation.png"
