"""The text of `sluice --help`, made from the table of commands alone so that it needs no slow import."""

from __future__ import annotations

from streams.cli.commands import COMMANDS, GROUPS

_INTRO = """\
Usage: sluice COMMAND [OPTIONS]

Run inference jobs over Kafka: every accepted job ends in exactly one outcome, and every step is a record in the log.
Terms: docs/glossary.md"""

_FIRST_STEPS = """\
First steps:
  sluice up                                                 start everything on this machine
  sluice submit echo --input '{"message": "hi"}' --wait     run a job and print its outcome
  sluice down                                               stop everything; data is kept

`sluice COMMAND --help` explains a command with examples. `--json` prints JSON, `--debug` shows tracebacks.
Exit status: 0 ok, 1 internal error, 2 wrong usage, 3 job failed, 4 job cancelled or expired, 5 not found,
6 a dependency is unreachable, 7 conflict, 8 partial result, 124 wait timed out, 130 interrupted."""


def overview(*, color: bool = False) -> str:
    """Return the help of `sluice` itself; `color` sets command names in bold."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if color else ("", "")
    width = max(len(command.name) for command in COMMANDS) + 2
    blocks = [_INTRO]
    for title, commands in GROUPS.items():
        lines = [f"  {bold}{command.name.ljust(width)}{plain}{command.summary}" for command in commands]
        blocks.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join([*blocks, _FIRST_STEPS])
