"""A processor that breaks on demand: while the file that SLUICE_TEST_GATE names says `broken`, its jobs and its self-test fail.
 A job called `wait` runs until the file says something.

It answers to the name and the contract of `killer`, in two versions, and takes one job at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from processors.policy import Policy
from schemas.records import EchoInput
from tests.harness.processors.killer import Killer


class Doubtful(Killer):
    policy = Policy(in_flight=1)

    def warm_up(self) -> None:
        self._check()

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        while items[0].message == "wait" and not self._gate.exists():
            time.sleep(0.02)
        self._check()
        return [f"{item.message} by {self.version}" for item in items]

    @property
    def _gate(self) -> Path:
        return Path(os.environ["SLUICE_TEST_GATE"])

    def _check(self) -> None:
        if self._gate.exists() and self._gate.read_text() == "broken":
            raise RuntimeError("libmodel.so.3: an instruction that this processor does not have")


class Canary(Doubtful):
    version, model_sha256 = "2", "cd" * 32
