"""`sluice up`: everything that runs on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import err, out, say_json
from streams.cli.stack_events import EventPrinter

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.stack import LocalStack, ServiceSpec

NoServices = Annotated[bool, Parameter(help="Only Kafka, the registry and Postgres.")]
Only = Annotated[
    tuple[str, ...],
    Parameter(help="Only these services (sink, timekeeper, worker-echo, …); may be given several times."),
]


def up(*, no_services: NoServices = False, only: Only = (), json: Json = False) -> int:
    """Start Kafka, the registry, Postgres and all services on this machine.

    Needs neither Docker nor Java. Data, logs and state lie under .sluice and are
    kept. What runs already is left alone, so a second `up` does no harm; what died
    is started again. Returns once every service takes work.

    For example:

        sluice up
        sluice up --no-services          # the stack; run services by hand
        sluice up --only sink --only worker-echo
        eval "$(sluice env)"             # addresses for other programs
    """
    from streams.cli.status import as_table, without_passwords
    from streams.settings import load_settings
    from streams.stack import LocalStack

    begun, settings = time.monotonic(), load_settings()
    stack = LocalStack(settings.home)
    with EventPrinter() as events:
        bring_up(settings, stack, events, with_services=not no_services, only=only)
    state = without_passwords(stack.status())
    say_json(state) if json else out(as_table(state))
    err(f"up in {time.monotonic() - begun:.1f} s")
    return 0


def bring_up(
    settings: Settings, stack: LocalStack, events: EventPrinter, *, with_services: bool = True, only: Sequence[str] = ()
) -> Settings:
    """Start what does not run; returns the settings, at this stack. Raises StartupError, UsageError, Unreachable."""
    addresses = stack.up(on_event=events).env()
    settings = _at(settings, addresses)
    if with_services:
        _prepare(settings)
        stack.run(_chosen(settings, stack, addresses, only), on_event=events)
    return settings


def _at(settings: Settings, addresses: dict[str, str]) -> Settings:
    """The settings, at this stack; warns when the environment sends other commands elsewhere."""
    from pydantic import SecretStr

    given = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
        "DATABASE_URL": settings.database_url.get_secret_value(),
    }
    for name, value in given.items():
        if value not in ("", addresses[name]):
            err(f"warning: {name} is set to another address than this stack's; other commands will use that one")
    kafka, registry, database = (addresses[name] for name in given)
    return settings.model_copy(
        update={
            "kafka_bootstrap_servers": kafka,
            "schema_registry_url": registry,
            "database_url": SecretStr(database),
            # What was looked up before is replaced too.
            "bootstrap": kafka,
            "registry_url": registry,
            "database": database,
        }
    )


def _prepare(settings: Settings) -> None:
    """Tables and topics, side by side."""
    from concurrent.futures import ThreadPoolExecutor

    from connectors import postgres
    from streams import wiring
    from streams.log import topics

    with ThreadPoolExecutor(2) as pool:
        migrated = pool.submit(postgres.migrate, settings.database)
        changes = topics.apply(settings, wiring.contracts(settings))
        applied = migrated.result()
    if applied:
        err(f"tables: {len(applied)} migrations applied")
    if changes:
        err(f"topics: {len(changes)} changes applied")


def _chosen(settings: Settings, stack: LocalStack, addresses: dict[str, str], only: Sequence[str]) -> list[ServiceSpec]:
    from schemas.errors import UsageError
    from streams.stack.services import services

    every = services(settings, stack, addresses)
    names = [service.name for service in every]
    if unknown := [name for name in only if name not in names]:
        raise UsageError(f"There is no service {unknown[0]!r}.", next_step=f"There are: {', '.join(names)}.")
    return [service for service in every if not only or service.name in only]
