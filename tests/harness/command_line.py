"""The command line, as a person types it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from schemas.errors import ExitCode
from streams.settings import Settings
from tests.harness.services import SLUICE, environment


class CommandLine:
    """Runs `sluice …` in a process of its own, with the settings of the test."""

    def __init__(self, settings: Settings) -> None:
        self._environment = environment(settings)

    def __call__(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SLUICE, *argv], env=self._environment, input=stdin, capture_output=True, text=True, timeout=60
        )

    def json(self, *argv: str) -> Any:
        done = self(*argv, "--json")
        assert done.returncode == ExitCode.OK, done.stderr
        return json.loads(done.stdout)
