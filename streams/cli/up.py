"""`sluice up`: start everything on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import err, out, out_json
from streams.cli.stack_events import EventPrinter

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.stack import LocalStack, ServiceSpec
    from streams.stack.events import StackEvent

NoServices = Annotated[bool, Parameter(help="Start only Kafka, the registry and Postgres.")]
Only = Annotated[
    tuple[str, ...],
    Parameter(help="Start only this service (sink, sink.2, worker-echo, …); repeatable. Default: all."),
]
NoRestart = Annotated[bool, Parameter(help="Do not start again what dies later.")]


def up(*, no_services: NoServices = False, only: Only = (), no_restart: NoRestart = False, json: Json = False) -> int:
    """Start Kafka, the registry, Postgres and all services on this machine.

    Needs neither Docker nor an installed Java. Data, logs and state are kept in
    .sluice (SLUICE_HOME). A process that runs already is left alone, one that has
    died is started again. Returns once every service is ready for jobs.

    Starts a sink for every 3 cores, and a worker of each light processor for every
    11, unless SLUICE_SINKS and SLUICE_LIGHT_WORKERS say how many; says how many. Of
    any other processor it starts one worker.

    A supervisor stays: it starts again what dies or hangs, until `sluice down`, at
    first at once, then after 1, 2, 4, … up to 60 seconds. `sluice status` and
    `sluice doctor` show it, and what it has started again, and why. Each
    `sluice up` replaces it by one with its own settings, unless --no-restart.

    For example:

        sluice up
        sluice up --no-services          # then start services by hand
        sluice up --only sink --only worker-echo
        eval "$(sluice env)"             # addresses for other programs
    """
    from streams.cli.status import as_table, without_passwords
    from streams.health.ask import ask_all
    from streams.settings import load_settings
    from streams.stack import LocalStack

    started, settings = time.monotonic(), load_settings()
    check_only(settings, only, not no_services)
    if not no_services:
        err(counts_text(settings))
    stack = LocalStack(settings.home)
    with EventPrinter() as events:
        bring_up(settings, stack, events, with_services=not no_services, only=only, restart=not no_restart)
    state = without_passwords(stack.status())
    out_json(state) if json else out(as_table(state, ask_all(settings.home)))
    err(f"ready after {time.monotonic() - started:.1f} s")
    return 0


def bring_up(
    settings: Settings,
    stack: LocalStack,
    events: EventPrinter,
    *,
    with_services: bool = True,
    only: Sequence[str] = (),
    restart: bool = True,
) -> Settings:
    """Start everything that does not run; returns the settings with the stack's addresses. `restart`: also the supervisor.

    Raises StartupError, UsageError, Unreachable.
    """
    addresses = stack.up(on_event=events).env()
    settings = _with_addresses(settings, addresses)
    if with_services:
        _prepare(settings)
        chosen = _chosen(settings, stack, addresses, only)
        check_gateway_port(stack, chosen, events)
        stop_surplus(settings, stack, chosen, events)
        stack.run(chosen, on_event=events)
    if restart:
        from streams.stack.services import supervisor

        stack.run([supervisor(settings, stack)], on_event=events)
    return settings


def _with_addresses(settings: Settings, addresses: dict[str, str]) -> Settings:
    """Return settings that point at this stack. Warns if the environment points other commands elsewhere."""
    from pydantic import SecretStr

    configured = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
        "DATABASE_URL": settings.database_url.get_secret_value(),
    }
    for name, value in configured.items():
        if value not in ("", addresses[name]):
            err(f"warning: {name} is set to another address than this stack's; other commands will use the one you set")
    kafka, registry, database = (addresses[name] for name in configured)
    return settings.model_copy(
        update={
            "kafka_bootstrap_servers": kafka,
            "schema_registry_url": registry,
            "database_url": SecretStr(database),
            # model_copy also copies cached values, so overwrite them too.
            "bootstrap": kafka,
            "registry_url": registry,
            "database": database,
        }
    )


def _prepare(settings: Settings) -> None:
    """Create tables and topics, at the same time."""
    from concurrent.futures import ThreadPoolExecutor

    from streams import wiring
    from streams.admin import topics

    with ThreadPoolExecutor(2) as pool:
        migrated = pool.submit(wiring.migrate, settings)
        changes = topics.apply(settings, wiring.contracts(settings))
        applied = migrated.result()
    if applied:
        err(f"database: {len(applied)} migrations applied")
    if changes:
        err(f"topics: {len(changes)} changes applied")


def check_only(settings: Settings, only: Sequence[str], with_services: bool) -> None:
    """Raise UsageError for `--only` with a service that does not exist, or with `--no-services`; before anything starts."""
    import difflib

    from schemas.errors import UsageError
    from streams.stack.services import service_names

    if only and not with_services:
        raise UsageError("--only and --no-services can't be combined.", next_step="Give one of them.")
    names = service_names(settings)
    if unknown := [name for name in only if name not in names]:
        near = difflib.get_close_matches(unknown[0], names, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"Unknown service {unknown[0]!r}.", next_step=f"{hint}Services: {', '.join(names)}.")


def check_gateway_port(stack: LocalStack, chosen: Sequence[ServiceSpec], report: Callable[[StackEvent], None]) -> None:
    """Name a port of the gateway that differs from the one that backends call.

    Raises UsageError for a port that SLUICE_GATEWAY_ADDRESS sets and another program uses.
    """
    from schemas.errors import UsageError
    from streams.gateway_settings import GATEWAY_PORT
    from streams.stack import ports
    from streams.stack.events import EventKind, StackEvent
    from streams.stack.services import GATEWAY

    runs = any(each.name == GATEWAY and each.running for each in stack.status().services)
    for service in chosen:
        if service.name != GATEWAY:
            continue
        port = int(service.env["SLUICE_GATEWAY_ADDRESS"].rpartition(":")[2])
        if port and not runs and not ports.free(port):
            raise UsageError(
                f"Port {port} of SLUICE_GATEWAY_ADDRESS is in use by another program.",
                next_step="End that program, or set another address.",
            )
        if port not in (0, GATEWAY_PORT):
            text = f"the gateway gets port {port}: a backend that calls :{GATEWAY_PORT} does not reach it"
            report(StackEvent(EventKind.PORT, GATEWAY, text))


def counts_text(settings: Settings) -> str:
    """Return how many sinks and light workers there will be, and why."""
    from streams.stack.counts import usable_cores
    from streams.stack.services import process_counts

    sinks, light = process_counts(settings)
    by_hand = settings.sinks is not None and settings.light_workers is not None
    why = "as set" if by_hand else f"{usable_cores()} cores; SLUICE_SINKS and SLUICE_LIGHT_WORKERS change it"
    return f"sinks: {sinks}, workers of each light processor: {light} ({why})"


def stop_surplus(settings: Settings, stack: LocalStack, chosen: Sequence[ServiceSpec], events: EventPrinter) -> None:
    """Stop what an earlier `up` started and is too many now: of the kinds of service that are chosen."""
    from streams.stack.services import kind_of, service_names

    names, kinds = service_names(settings), {kind_of(service.name) for service in chosen}
    running = [each.name for each in stack.status().services]
    if surplus := [name for name in running if kind_of(name) in kinds and name not in names]:
        stack.down(on_event=events, names=surplus)


def _chosen(settings: Settings, stack: LocalStack, addresses: dict[str, str], only: Sequence[str]) -> list[ServiceSpec]:
    from streams.stack.services import kind_of, services

    every = services(settings, stack, addresses)
    return [service for service in every if not only or service.name in only or kind_of(service.name) in only]
