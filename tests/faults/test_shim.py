"""The library that steps clocks and fills disks does so to the process that it is loaded into, and to no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.shim import Shim, build, compiler


def output(shim: Shim, program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], env=os.environ | shim.environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_clock_is_stepped_and_a_disk_is_full_until_healed(tmp_path: Path) -> None:
    library = build(tmp_path)
    assert (library is None) == (compiler() is None)
    if library is None:
        return
    shim = Shim(tmp_path, "test", library)
    writes = f"open({str(tmp_path / 'file')!r}, 'w', buffering=1).write('x\\n')"
    tries = f"try:\n    {writes}\nexcept OSError as error:\n    print(error.errno)"
    shim.step_clock(3600)
    assert 3590 < float(output(shim, "import time; print(time.time())")) - time.time() < 3610
    shim.fill_disk()
    assert output(shim, tries) == "28"
    shim.heal()
    assert output(shim, tries) == ""
    assert abs(float(output(shim, "import time; print(time.time())")) - time.time()) < 10
