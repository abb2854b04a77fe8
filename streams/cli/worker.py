"""`sluice worker`: processors at work."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from schemas.contract import known_processors, unknown_processor
from streams.cli.service import Service, serve
from streams.settings import Settings, load_settings

Processors = Annotated[
    str, Parameter(help="Processors to run; none means SLUICE_PROCESSORS, else all that are installed.")
]
Device = Annotated[str | None, Parameter(help="auto, cpu, cuda or cuda:N. auto is CUDA if a kernel really runs there.")]


def worker(*processors: Processors, device: Device = None) -> int:
    """Run processors: take requests, publish results.

    One worker drives one device. Start as many as there are devices, on as many
    machines as there are; they share the work of a processor through Kafka.
    SIGTERM finishes what is in flight; SIGKILL loses nothing.

    For example:

        sluice worker echo                        # one processor
        sluice worker embed segmentation          # two, on one device
        sluice worker segmentation --device cpu   # without the GPU
    """
    settings = load_settings()
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    names = processors or settings.processors or tuple(known_processors())
    for name in names:
        if name not in known_processors():
            raise unknown_processor(name)

    def build(settings: Settings) -> Service:
        from streams.worker.worker import Worker

        return Worker(settings, names)

    return serve("worker", build, settings, names)
