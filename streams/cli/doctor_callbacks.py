"""The checks of `sluice doctor` on ports, and on the backend that stands for `localhost` in callbacks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import UsageError
from streams.callback_settings import BACKEND_PORT
from streams.cli.check import Check, Severity
from streams.gateway_settings import FORMER_PORT, GATEWAY_PORT
from streams.settings import Settings

#: Seconds that the backend may take to accept a connection.
PATIENCE_S = 2.0
#: Docker and Podman put one of these into each container.
CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))


def gateway_port(settings: Settings) -> list[Check]:
    """Name a port that is in use, or that differs from the one where backends expect the inference service."""
    return [*_former(settings), *_listening(settings)]


def _former(settings: Settings) -> Iterator[Check]:
    """Name the settings that still have the former port of the inference service."""
    named = {
        "SLUICE_GATEWAY_ADDRESS": settings.gateway_address,
        "SLUICE_GATEWAY_URL": settings.gateway_url,
        "SLUICE_WORKER_GATEWAY": settings.worker_gateway,
        "the backend's URL": settings.backend or "",
    }
    for name, value in named.items():
        if _port(value) == FORMER_PORT:
            detail = f"{name} has port {FORMER_PORT}, the former one of the inference service"
            step = f"The gateway listens on {GATEWAY_PORT}, a Django backend on {BACKEND_PORT}."
            yield Check("gateway port", Severity.WARNING, detail, step)


def _listening(settings: Settings) -> Iterator[Check]:
    from streams.stack import LocalStack, ports

    wanted = _port(settings.gateway_address)
    running = next((each for each in LocalStack(settings.home).status().services if each.name == "gateway"), None)
    port = _port(running.address or "") if running is not None and running.running else None
    if port not in (None, GATEWAY_PORT):
        detail = f"the gateway listens on port {port}: a backend that calls :{GATEWAY_PORT} does not reach it"
        step = (
            f"End the program on port {GATEWAY_PORT}, then `sluice down` and `sluice up`; or change the backend's port."
        )
        yield Check("gateway port", Severity.WARNING, detail, step)
    elif port is None and wanted and not ports.free(wanted):
        detail = f"port {wanted} is in use, and not by a gateway that `sluice up` has started here"
        step = "If it is no gateway, end that program, or set another SLUICE_GATEWAY_ADDRESS."
        yield Check("gateway port", Severity.WARNING, detail, step)
    elif port is None and wanted not in (0, GATEWAY_PORT):
        detail = f"SLUICE_GATEWAY_ADDRESS has port {wanted}: a backend that calls :{GATEWAY_PORT} does not reach it"
        yield Check("gateway port", Severity.WARNING, detail, "Change one of them, unless a proxy stands between.")
    else:
        yield Check("gateway port", Severity.OK, f"{port or wanted}{'' if port else ', free'}")


def callback_backend(settings: Settings) -> list[Check]:
    """Check that the backend that stands for `localhost` in callbacks accepts connections."""
    from connectors.callbacks.resolve import backend_base, host_of, split_url
    from schemas.addresses import is_loopback_host

    backend = settings.backend
    if backend is None:
        if not any(file.exists() for file in CONTAINER_FILES):
            return [Check("callback backend", Severity.OK, "none: a callback to localhost goes to this machine")]
        detail = f"a callback to localhost stays in this container, where nothing listens on port {BACKEND_PORT}"
        step = f"Set DJANGO_URL, for example to http://host.docker.internal:{BACKEND_PORT}, or start the backend here."
        try:
            socket.create_connection(("localhost", BACKEND_PORT), PATIENCE_S).close()
        except OSError:
            return [Check("callback backend", Severity.WARNING, detail, step)]
        return [Check("callback backend", Severity.OK, f"none: port {BACKEND_PORT} of this container answers")]
    try:
        scheme, authority, _ = split_url(backend_base(backend))
    except UsageError as error:
        return [Check("callback backend", Severity.PROBLEM, error.message, error.next_step)]
    host, port = host_of(authority), _port(backend) or {"http": 80, "https": 443}[scheme]
    inside = is_loopback_host(host) and any(file.exists() for file in CONTAINER_FILES)
    try:
        socket.create_connection((host, port), PATIENCE_S).close()
    except OSError as error:
        detail = f"{host}:{port} does not accept connections: {error.strerror or type(error).__name__}"
        step = "Start the backend, or correct DJANGO_URL." + (
            " Within a container localhost is the container." * inside
        )
        return [Check("callback backend", Severity.WARNING, detail, step)]
    return [Check("callback backend", Severity.OK, f"a callback to localhost goes to {host}:{port}")]


def _port(address: str) -> int | None:
    """Return the port of a URL or of host:port; None if there is none."""
    try:
        return urlsplit(address if "://" in address else f"//{address}").port
    except ValueError:
        return None
