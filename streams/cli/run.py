"""Runs one command: errors become a message, a next step and an exit status; a broken pipe ends quietly."""

from __future__ import annotations

import difflib
import json
import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError

from schemas.errors import ErrorCode, ExitCode, InvalidInput, SluiceError
from streams import logs
from streams.cli.app import build
from streams.cli.commands import COMMANDS

DEBUG = "--debug"
#: Whether `--debug` was given; one process runs one command.
_debug = False
NAMES = [verb.name for verb in COMMANDS]


def run(argv: Sequence[str]) -> int:
    """Run `sluice argv…` and return its exit status."""
    global _debug
    _debug, tokens = _split_debug(argv)
    debug = _debug
    # Commands print; services configure their own logs. What a library has to say goes to those who ask for it.
    logs.configure("debug" if debug else "error", "console")
    as_json = "--json" in tokens
    if tokens and not tokens[0].startswith("-") and tokens[0] not in NAMES:
        return _report(*_unknown(tokens[0]), ErrorCode.USAGE, ExitCode.USAGE, as_json)
    try:
        result = build()(tokens)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has seen enough (`sluice tail … | head`). Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except CycloptsError as error:
        told = str(error)
        return _report(told, f"See `sluice {_verb(tokens)}--help`.", ErrorCode.USAGE, ExitCode.USAGE, as_json)
    except SluiceError as error:
        if debug:
            traceback.print_exc()
        # Refused at the door there is no job yet that could have failed: the input is wrong usage.
        status = ExitCode.USAGE if isinstance(error, InvalidInput) else error.exit_code
        return _report(error.message, error.next_step, error.code, status, as_json)
    except Exception as error:  # noqa: BLE001 - where every other error ends
        if debug:
            traceback.print_exc()
        told, step = f"{type(error).__name__}: {error}", "This is a bug; `--debug` shows where."
        return _report(told, step, ErrorCode.INTERNAL, ExitCode.INTERNAL, as_json)
    return result if isinstance(result, int) else ExitCode.OK


def debugging() -> bool:
    """Whether this command was asked to show where errors come from."""
    return _debug


def _split_debug(argv: Sequence[str]) -> tuple[bool, list[str]]:
    """`--debug` is meant for us wherever it stands, except behind `--`."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    tokens = [token for number, token in enumerate(argv) if token != DEBUG or number > end]
    return len(tokens) < len(argv), tokens


def _unknown(name: str) -> tuple[str, str]:
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"Did you mean `sluice {near[0]}`? " if near else ""
    return f"There is no command {name!r}.", f"{hint}`sluice --help` lists them all."


def _verb(tokens: Sequence[str]) -> str:
    return f"{tokens[0]} " if tokens and not tokens[0].startswith("-") else ""


def _report(message: str, next_step: str | None, code: ErrorCode, status: int, as_json: bool) -> int:
    if as_json:
        told = {"error": {"code": str(code), "message": message, "next_step": next_step, "exit_code": status}}
        sys.stderr.write(json.dumps(told, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"error: {message}\n" + (f"  {next_step}\n" if next_step else ""))
    return status
