"""Steps the clock of a process and fills its disk, by a library that is loaded before libc; no privileges are needed.

It is compiled at the start of a run. A machine without a C compiler leaves these faults out, and the report says so.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
_STATE = struct.Struct("qq")


def compiler() -> str | None:
    """Return the C compiler of this machine; None if it has none."""
    return shutil.which("cc") or shutil.which("gcc")


class Shim:
    """The library, and the state that processes of one group share."""

    def __init__(self, folder: Path, group: str, library: Path) -> None:
        self._path = (folder / f"shim-{group}").absolute()
        self._path.write_bytes(_STATE.pack(0, 0))
        self._path.chmod(0o644)  # Postgres may run as another user
        self._library = library

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables with which a process must be started."""
        return {"LD_PRELOAD": str(self._library), "FAULTS_SHIM": str(self._path)}

    def step_clock(self, seconds: float) -> None:
        """Let the wall clock be this much ahead; negative: back."""
        self._write(int(seconds * 1e9), 0)

    def fill_disk(self) -> None:
        """Let every write to a file fail."""
        self._write(0, 1)

    def heal(self) -> None:
        self._write(0, 0)

    def _write(self, step_ns: int, is_full: int) -> None:
        with self._path.open("r+b") as file:  # in place: processes have it mapped
            file.write(_STATE.pack(step_ns, is_full))


#: Groups of processes, each with a state of its own; all services share one.
SERVICES = "services"
GROUPS = (SERVICES, "kafka", "postgres")


@contextmanager
def shims() -> Iterator[dict[str, Shim]]:
    """Yield the shim of each group, in a folder that every user may read; nothing where there is no compiler."""
    with tempfile.TemporaryDirectory(prefix="sluice-faults-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        library = build(folder)
        yield {} if library is None else {group: Shim(folder, group, library) for group in GROUPS}


def build(folder: Path) -> Path | None:
    """Compile the library into `folder`; None where there is no compiler."""
    found = compiler()
    if found is None:
        return None
    library = (folder / "shim.so").absolute()
    subprocess.run([found, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library
