"""`make gpu`: every test marked `gpu`, then the CUDA benchmark. Needs a CUDA device, and neither Kafka nor Postgres.

Exit status: 0 if all passed, 5 if there is no CUDA device, else that of what failed first.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from processors.devices import device_fault
from schemas.errors import ExitCode
from streams.environment import environment

ROOT = Path(__file__).parents[1]
DEVICE = "cuda:0"


def marked_files(tests: Path) -> list[Path]:
    """Return the test files that have tests marked `gpu`: only these are collected, so that no other package is needed."""
    return [path for path in sorted(tests.rglob("test_*.py")) if "@pytest.mark.gpu" in path.read_text(encoding="utf-8")]


def steps(files: Sequence[Path]) -> list[list[str]]:
    """Return the commands to run, in order."""
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *map(str, files)]
    return [tests, [sys.executable, "-m", "bench.device", "--place", DEVICE]]


def main() -> int:
    """Run all steps; stops at the first that fails."""
    fault = device_fault(DEVICE)
    if fault is not None:
        sys.stderr.write(f"There is no CUDA device here, so nothing was tested: {fault}\n")
        return ExitCode.NOT_FOUND
    for step in steps(marked_files(ROOT / "tests")):
        began = time.monotonic()
        status = subprocess.run(step, cwd=ROOT, env={**environment(), "PYTHONPATH": str(ROOT)}, check=False).returncode
        sys.stderr.write(f"{' '.join(step[1:3])}: exit status {status} after {time.monotonic() - began:.0f} s\n")
        if status != 0:
            return status
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
