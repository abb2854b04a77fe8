"""Runs one command. An error becomes a message, a next step and an exit status; a broken pipe ends quietly."""

from __future__ import annotations

import difflib
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError

from schemas.errors import ErrorCode, ExitCode, InvalidInput, SluiceError
from streams import logs
from streams.cli.app import build
from streams.cli.commands import COMMANDS
from streams.cli.output import discard_output, json_text, printable

DEBUG = "--debug"
#: True if `--debug` was given; one process runs one command.
_debug = False
NAMES = [command.name for command in COMMANDS]


def run(argv: Sequence[str]) -> int:
    """Run `sluice argv…` and return its exit status."""
    global _debug
    _debug, tokens = _split_debug(argv)
    debug = _debug
    # Commands print; services configure their own logs. Messages of libraries are shown with --debug only.
    logs.configure("debug" if debug else "error", "console")
    as_json = "--json" in tokens
    if tokens and not tokens[0].startswith("-") and tokens[0] not in NAMES:
        return _report(*_unknown(tokens[0]), ErrorCode.USAGE, ExitCode.USAGE, as_json)
    try:
        result = build()(tokens)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        return ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except CycloptsError as error:
        return _report(str(error), f"See `sluice {_command(tokens)}--help`.", ErrorCode.USAGE, ExitCode.USAGE, as_json)
    except SluiceError as error:
        if debug:
            traceback.print_exc()
        # An invalid input of a job that was never accepted is wrong usage, not a failed job.
        status = ExitCode.USAGE if isinstance(error, InvalidInput) else error.exit_code
        return _report(error.message, error.next_step, error.code, status, as_json)
    except Exception as error:  # noqa: BLE001 - the last resort for every other error
        if debug:
            traceback.print_exc()
        message, step = f"{type(error).__name__}: {error}", "This is a bug in sluice; `--debug` shows the traceback."
        return _report(message, step, ErrorCode.INTERNAL, ExitCode.INTERNAL, as_json)
    return result if isinstance(result, int) else ExitCode.OK


def debugging() -> bool:
    """True if `--debug` was given: show tracebacks of errors."""
    return _debug


def _split_debug(argv: Sequence[str]) -> tuple[bool, list[str]]:
    """Remove `--debug` from the arguments, wherever it stands before `--`; returns whether it was there, and the rest."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    tokens = [token for number, token in enumerate(argv) if token != DEBUG or number > end]
    return len(tokens) < len(argv), tokens


def _unknown(name: str) -> tuple[str, str]:
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"Did you mean `sluice {near[0]}`? " if near else ""
    return f"Unknown command {name!r}.", f"{hint}`sluice --help` lists all commands."


def _command(tokens: Sequence[str]) -> str:
    return f"{tokens[0]} " if tokens and not tokens[0].startswith("-") else ""


def _report(message: str, next_step: str | None, code: ErrorCode, status: int, as_json: bool) -> int:
    if as_json:
        document = {"error": {"code": str(code), "message": message, "next_step": next_step, "exit_code": status}}
        sys.stderr.write(json_text(document, indent=None, stream=sys.stderr) + "\n")
    else:
        sys.stderr.write(printable(f"error: {message}\n" + (f"  {next_step}\n" if next_step else "")))
    return status
