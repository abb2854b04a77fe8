"""`python -m streams.worker.child.imported NAME`: import a processor as a worker's child does, and say what was found.

Prints one JSON object: the versions with their modules and the seconds, or the error with its traceback. `sluice doctor` runs
it with the interpreter, flags and environment that the worker gives its child, so both find the same modules.
"""

from __future__ import annotations

import json
import sys
import time

from schemas.errors import SluiceError
from streams.settings import load_settings
from streams.worker.child.loader import import_versions


def main(name: str) -> int:
    """Import the versions of a processor that a worker would serve, and print the report. Returns the exit status."""
    began = time.perf_counter()
    try:
        found = import_versions(name, load_settings().rollouts.get(name))
    except SluiceError as error:
        _print({"error": error.message, "next_step": error.next_step})
        return error.exit_code
    versions = [{"version": each.version, "module": type(each).__module__} for each in found]
    _print({"versions": versions, "seconds": round(time.perf_counter() - began, 2)})
    return 0


def _print(report: dict[str, object]) -> None:
    # The processor's module may have printed something: the report is the last line. ASCII, whatever the console's encoding.
    sys.stdout.write("\n" + json.dumps(report) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
