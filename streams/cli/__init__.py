"""The command line: one file per command.

May import: connectors, connectors.callbacks, processors,
streams.{admin,audit,callback_settings,client,dead_letters,explain,gateway_settings,health,log,notify,plan},
streams.{receipts,replay,retention,router,shadow,sink,stack,timekeeper,wiring,worker},
streams.worker.child; each command imports only what it runs, when it runs. Start reading at `commands.py`, the table of all
commands; `run.py` runs one of them. This file imports nothing, so that `sluice --help` stays fast.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

_HELP: tuple[list[str], ...] = ([], ["--help"], ["-h"], ["help"])


def main() -> int:
    """Run the command line (entry point of the `sluice` script) and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A console that is not UTF-8 gets escapes: a job that was accepted must not end in an error of its printing.
            stream.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:]
    if argv in _HELP:
        from streams.cli.overview import overview

        try:
            print(overview(color=sys.stdout.isatty()), flush=True)  # noqa: T201
        except BrokenPipeError:
            from streams.cli.output import discard_output

            discard_output()
        return 0
    from streams.cli.run import run

    return run(argv)
