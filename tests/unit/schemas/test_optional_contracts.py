"""An optional processor is known everywhere, and served only where SLUICE_PROCESSORS names it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.contract import ProcessorContract
from schemas.records import EchoInput, EchoOutput
from tests.harness.packages import install

RARE = ProcessorContract("rare", EchoInput, EchoOutput)

PROGRAM = """
from schemas.contract import contract, default_processors, known_processors
from streams.settings import Settings
from streams.wiring import contracts

print(*known_processors(), "/", *default_processors(), "/", *[each.name for each in contracts(Settings())])
print(contract("rare").name)
"""


@pytest.mark.parametrize(("chosen", "served"), [("", "echo embed segmentation"), ("rare,echo", "rare echo")])
def test_an_optional_processor_is_served_only_if_the_settings_name_it(tmp_path: Path, chosen: str, served: str) -> None:
    path = install(tmp_path / "site", "rare", f"{__name__}:RARE", {}, optional=True)
    environment = {"PYTHONPATH": path, "SLUICE_PROCESSORS": chosen, "SLUICE_HOME": str(tmp_path)}
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stdout
    known, default, actual = (part.split() for part in printed.split("/"))
    assert "rare" in known
    assert "rare" not in default
    assert actual == [*served.split(), "rare"]
