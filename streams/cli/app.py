"""The cyclopts application, built from the table of commands. A command's module is imported only when it runs."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version
from typing import Any

from cyclopts import App, Parameter

from streams.cli.commands import GROUPS


def build() -> App:
    app = App(
        name="sluice",
        help="Inference jobs over Kafka.",
        version=lambda: f"sluice {version('sluice')}",
        help_format="plaintext",  # docstrings print as they are written, examples and all
        default_parameter=Parameter(negative=(), show_default=_default),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for title, commands in GROUPS.items():
        for command in commands:
            app.command(command.target, name=command.name, group=title)
    return app


def _default(value: Any) -> str | None:
    """Return the default as help shows it. Flags and empty defaults show none: the option's help says what they mean."""
    if isinstance(value, timedelta):
        return _duration(value)
    return None if value in (None, False, "", ()) else str(value)


def _duration(value: timedelta) -> str:
    """Return a duration as it is typed: 30s, 5m, 2h."""
    seconds = value.total_seconds()
    unit, size = next(
        (u, s) for u, s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % s == 0 or s == 1
    )
    return f"{seconds / size:g}{unit}"


def sub_app(name: str, help_: str) -> App:
    """Return the application of a command that has commands of its own. It inherits the settings of `build`."""
    return App(name=name, help=help_)
