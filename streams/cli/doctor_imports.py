"""The checks of `sluice doctor` that import code, in processes of their own: processors as workers do, and the gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from schemas.contract import contract, known_processors
from schemas.errors import SluiceError
from streams.cli.check import Check, Severity
from streams.environment import child_environment, environment, python_module
from streams.settings import Settings

#: Imports at the same time: they need the CPU, and hundreds of MiB each.
AT_ONCE = 2
IMPORTED, ROUTES = "streams.worker.child.imported", "gateway.route_list"


def registered(settings: Settings) -> list[Check]:
    """Name every registered processor, and import those that this installation serves as their workers do."""
    classes = {point.name.partition("@")[0] for point in entry_points(group="sluice.processors")}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: _processor(settings, name, name in classes), known_processors()))


def _processor(settings: Settings, name: str, has_class: bool) -> Check:
    title = f"processor {name}"
    try:
        custody = settings.custody(contract(name))
    except SluiceError as error:
        return Check(title, Severity.PROBLEM, error.message, error.next_step)
    if not has_class:
        return Check(
            title, Severity.OK, "only its contract is installed: jobs can be submitted, no worker can run here"
        )
    if name not in settings.served_processors:
        served = ",".join([*settings.served_processors, name])
        return Check(title, Severity.OK, f"not served here: SLUICE_PROCESSORS={served} would serve it")
    try:
        report = _report(python_module(IMPORTED, name), child_environment(), settings.load_timeout_s)
    except _NoReport as error:
        step = f"`sluice worker {name}` ends with the same error."
        return Check(title, Severity.PROBLEM, f"can't be imported: {error}", step)
    if "error" in report:
        step = report["next_step"] or "Correct it; until then `sluice worker` ends with the same error at its start."
        return Check(title, Severity.PROBLEM, report["error"].rstrip(), step)
    versions = ", ".join(f"version {each['version']} of {each['module']}" for each in report["versions"])
    return Check(title, Severity.OK, f"{versions}, imported in {report['seconds']:.1f} s, custody {custody}")


def routes(settings: Settings) -> list[Check]:
    """List the gateway's routes by group, and name the setting that opens those which are not served."""
    if find_spec("fastapi") is None:
        detail = "the gateway can't run here: fastapi is not installed"
        return [Check("routes", Severity.WARNING, detail, "Install sluice[gateway] where `sluice gateway` runs.")]
    try:
        groups = _report(python_module(ROUTES), environment(), settings.load_timeout_s)
    except _NoReport as error:
        step = "`sluice gateway` ends with the same error."
        return [Check("routes", Severity.PROBLEM, f"the gateway can't be imported: {error}", step)]
    return [_group(group) for group in groups]


def _group(group: dict[str, Any]) -> Check:
    listed = ", ".join(group["routes"])
    closed = "" if group["open"] else f"not served, {group['setting']} opens them: "
    return Check(f"routes of {group['name']}", Severity.OK, f"{closed}{listed}")


class _NoReport(Exception):
    """A process printed no report; the text says what it printed instead."""


def _report(command: Sequence[str], variables: dict[str, str], timeout_s: float) -> Any:
    """Run a command and return the JSON in its last line. Raises _NoReport."""
    try:
        done = subprocess.run(
            command,
            env=variables | {"PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise _NoReport(f"it took longer than {timeout_s:g} s") from None
    lines = done.stdout.splitlines()
    try:
        return json.loads(lines[-1] if lines else "")
    except ValueError:
        raise _NoReport(f"exit status {done.returncode}\n{done.stderr.strip()}") from None
