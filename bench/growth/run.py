"""Measures the rows: a stack of its own for each installation, deleted when its rows are done."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.compare.processes import terminated_like_interrupted
from bench.growth import processor
from bench.growth.rows import FILE_PROCESSORS, GrowthRow, Installation, by_installation
from bench.throughput import ThroughputReport
from schemas.errors import SluiceError, StartupError
from streams.environment import environment, python_module
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
#: Jobs that an installation runs first: a fresh broker is slow at first. Fewer if the row itself has fewer.
WARM_UP = 5_000
#: Addresses that would point at another stack than the one that is measured.
_ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL")


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A row and its figures; `failed` says why there are none."""

    row: GrowthRow
    report: ThroughputReport | None
    failed: str = ""


def measure(
    settings: Settings, rows: Sequence[GrowthRow], say: Callable[[str], None], on_row: Callable[[], None]
) -> list[MeasuredRow]:
    """Measure all rows. One that fails is kept with its reason, and the rest goes on."""
    home = settings.home / "growth"
    measured: list[MeasuredRow] = []
    for installation, of in by_installation(rows):
        shutil.rmtree(home, ignore_errors=True)
        left = list(of)
        try:
            with terminated_like_interrupted(), _running(installation, home) as env:
                while left:
                    say(f"{left[0].what}: {left[0].size}")
                    measured.append(MeasuredRow(left[0], _one(left[0], env, first=len(left) == len(of))))
                    left.pop(0)
                    on_row()
        except SluiceError as error:
            say(f"failed: {error.message}")
            measured += [MeasuredRow(row, None, str(error)) for row in left]
            for _ in left:
                on_row()
        finally:
            shutil.rmtree(home, ignore_errors=True)
    return measured


def _one(row: GrowthRow, env: Mapping[str, str], *, first: bool) -> ThroughputReport:
    warm_up = min(row.jobs, WARM_UP if first else WARM_UP // 5)
    request = json.dumps({"processor": row.processor, "payload": row.payload, "jobs": row.jobs, "warm_up": warm_up})
    printed: dict[str, Any] = json.loads(_run(python_module("bench.growth.one_row", request), env))
    return ThroughputReport(**printed)


@contextmanager
def _running(installation: Installation, home: Path) -> Iterator[dict[str, str]]:
    """Run an installation; yields the environment of programs that use it. Raises StartupError."""
    processor.install(FILE_PROCESSORS, home / "site")
    path = f"{home / 'site'}:{ROOT}"
    env = {**environment(), **dict.fromkeys(_ADDRESSES, ""), "SLUICE_HOME": str(home), "PYTHONPATH": path}
    env |= installation.env
    only = [option for name in installation.only for option in ("--only", name)]
    try:
        _up(python_module("streams.cli", "up", *only), env)
        yield env
    finally:
        _run(python_module("streams.cli", "down"), env)


def _up(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Start the stack; once more if that fails, since it goes on where it ended. Raises StartupError."""
    try:
        _run(argv, env)
    except StartupError:
        _run(argv, env)


def _run(argv: Sequence[str], env: Mapping[str, str]) -> str:
    ran = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise StartupError(f"`{' '.join(argv[3:5])}` ended with exit status {ran.returncode}: {_reason(ran.stderr)}")
    return ran.stdout


def _reason(printed: str) -> str:
    """Return the last message of a command that begins with `error:`, else the last line."""
    lines = printed.strip().splitlines() or ["it printed nothing"]
    return next((line for line in reversed(lines) if line.startswith("error:")), lines[-1])
