"""What `sluice --help` prints: made from the table of verbs, so that it costs no import worth naming."""

from __future__ import annotations

from streams.cli.commands import GROUPS

_INTRO = """\
Usage: sluice COMMAND [OPTIONS]

Inference jobs over Kafka: every accepted job ends in exactly one outcome, and everything can be replayed."""

_FIRST_STEPS = """\
First steps:
  sluice up                                                 start everything on this machine
  sluice submit echo --input '{"message": "hi"}' --wait     run a job and print its outcome
  sluice down                                               stop; data is kept

`sluice COMMAND --help` explains a command with examples. `--json` prints data for programs, `--debug` shows tracebacks.
Exit status: 0 ok, 1 internal error, 2 wrong usage, 3 job failed, 4 cancelled or expired, 5 not found,
6 a dependency is unreachable, 7 conflict, 8 partial result, 124 wait timed out, 130 interrupted."""


def overview(*, color: bool = False) -> str:
    bold, plain = ("\x1b[1m", "\x1b[0m") if color else ("", "")
    width = max(len(verb.name) for verbs in GROUPS.values() for verb in verbs) + 2
    blocks = [_INTRO]
    for title, verbs in GROUPS.items():
        lines = [f"  {bold}{verb.name.ljust(width)}{plain}{verb.summary}" for verb in verbs]
        blocks.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join([*blocks, _FIRST_STEPS])
