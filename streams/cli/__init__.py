"""The command line: one file a verb.

May import: everything of streams, each verb only what it runs. `verbs.py` is the table of commands, `run.py` runs one of them.
Nothing is imported here that `sluice --help` does not print: start reading at `verbs.py`.
"""

from __future__ import annotations

import sys

_HELP: tuple[list[str], ...] = ([], ["--help"], ["-h"], ["help"])


def main() -> int:
    """The console script's entry; returns the exit status."""
    argv = sys.argv[1:]
    if argv in _HELP:
        from streams.cli.overview import overview

        print(overview(color=sys.stdout.isatty()))  # noqa: T201
        return 0
    from streams.cli.run import run

    return run(argv)
