"""`sluice gateway`: serve HTTP."""

from __future__ import annotations

from streams.cli.service import Service, serve
from streams.settings import Settings


def gateway() -> int:
    """Serve HTTP for backends and lab machines.

    Listens on SLUICE_GATEWAY_ADDRESS. Several gateways may run behind a load
    balancer. The interface is described at /v1/openapi.json.

    For example:

        SLUICE_GATEWAY_ADDRESS=0.0.0.0:9000 sluice gateway
    """

    def build(settings: Settings) -> Service:
        from gateway.service import Gateway
        from streams.process import SHORT, tune_gc

        return Gateway(settings, on_built=lambda: tune_gc(SHORT))

    return serve("gateway", build)
