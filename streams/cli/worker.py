"""`sluice worker`: run processors."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from schemas.contract import known_processors, unknown_processor
from streams.cli.service import Service, serve
from streams.settings import Settings, load_settings

Processors = Annotated[
    str, Parameter(help="Processors to run. Default: SLUICE_PROCESSORS, else all that are installed and not optional.")
]
Device = Annotated[
    str | None,
    Parameter(
        help="auto, cpu, cuda or cuda:N; auto takes CUDA if a test kernel runs on it. Default: SLUICE_DEVICE, else auto."
    ),
]


Gateway = Annotated[
    str | None,
    Parameter(
        help="Get the jobs from a gateway at this URL, over HTTPS alone. Default: SLUICE_WORKER_GATEWAY, else Kafka."
    ),
]


def worker(*processors: Processors, device: Device = None, gateway: Gateway = None) -> int:
    """Run processors: consume requests, publish results.

    One worker uses one device. Start one per device, on any number of machines:
    workers of a processor share its requests through a Kafka consumer group.
    On SIGTERM a worker finishes its jobs in flight, for at most SLUICE_DRAIN_S
    seconds. After SIGKILL its jobs run again elsewhere; none is lost.

    With --gateway the machine needs neither Kafka nor a database: only the
    gateway, and a token with the scope `work` in SLUICE_GATEWAY_TOKEN or
    SLUICE_GATEWAY_TOKEN_FILE. Only processors whose jobs are kept by lease can be
    run so (SLUICE_LEASED).

    For example:

        sluice worker echo                        # one processor
        sluice worker embed segmentation          # two on one device
        sluice worker segmentation --device cpu   # without the GPU
        sluice worker segmentation --gateway https://sluice.example.org
    """
    settings = load_settings()
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if gateway is not None:
        settings = settings.model_copy(update={"worker_gateway": gateway})
    names = processors or settings.served_processors
    for name in names:
        if name not in known_processors():
            raise unknown_processor(name)

    def build(settings: Settings) -> Service:
        from streams.worker.worker import Worker

        return Worker(settings, names)

    return serve("worker", build, settings, names)
