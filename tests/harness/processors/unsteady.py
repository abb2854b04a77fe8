"""A processor that works on some workers only: its device says where. Other devices than `fake:0` fail every job at once.

It answers to the name and the contract of `killer`. `UnsteadyUntil` works everywhere once the file that SLUICE_TEST_GATE names
exists.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from processors.devices import register_check
from processors.policy import Batch, Policy
from processors.protocol import LoadContext
from schemas.records import EchoInput
from tests.harness.processors.killer import Killer

register_check("fake", lambda name, settle: None)


class Unsteady(Killer):
    policy = Policy(batch=Batch(4), in_flight=40)

    def load(self, ctx: LoadContext) -> None:
        self._device = ctx.device

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        if self.is_broken() or any(item.message == "bad" for item in items):
            raise RuntimeError("libmodel.so.3: an instruction that this processor does not have")
        time.sleep(0.002)
        return [item.message for item in items]

    def is_broken(self) -> bool:
        return self._device != "fake:0"


class UnsteadyUntil(Unsteady):
    def is_broken(self) -> bool:
        return super().is_broken() and not Path(os.environ["SLUICE_TEST_GATE"]).exists()
