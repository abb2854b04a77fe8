"""The client installs quickly, with few packages, into an environment that has nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.accept

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"
UV = shutil.which("uv") or ROOT / ".tools/uv/bin/uv"  # the Makefile installs it there
#: PYTHON stands for the interpreter of the new environment.
INSTALLERS: dict[str, list[str | Path]] = {
    "uv": [UV, "pip", "install", "--quiet", "--python", "PYTHON"],
    "pip": [sys.executable, "-m", "pip", "--python", "PYTHON", "install", "--quiet"],
}
#: The best of this many tries counts, because the machine may do other work at the same time.
TRIES = 3


def run(*argv: str | Path) -> str:
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as it is published."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CLIENT)
    (made,) = folder.iterdir()
    return made


def install(installer: list[str | Path], wheel: Path, environment: Path) -> float:
    """Install into a new environment; return the seconds that the installation took."""
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    argv = [environment / "bin/python" if each == "PYTHON" else each for each in installer]
    started = time.monotonic()
    run(*argv, wheel)
    return time.monotonic() - started


@pytest.mark.parametrize("installer", INSTALLERS)
def test_the_client_installs_in_under_five_seconds_with_at_most_eight_packages(
    installer: str, wheel: Path, tmp_path: Path
) -> None:
    seconds = min(install(INSTALLERS[installer], wheel, tmp_path / str(number)) for number in range(TRIES))
    packages = [path.name for path in (tmp_path / "0").rglob("*.dist-info")]
    print(f"sluice-client installs by {installer} in {seconds:.1f} s: {sorted(packages)}")
    assert seconds < 5
    assert len(packages) <= 8
    imported = run(tmp_path / "0/bin/python", "-c", "import sluice_client; print(sluice_client.Client.__name__)")
    assert imported == "Client\n"
