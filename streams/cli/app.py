"""The cyclopts application, built from the table of verbs. Each verb's module is imported only when that verb runs."""

from __future__ import annotations

from importlib.metadata import version

from cyclopts import App, Parameter

from streams.cli.commands import GROUPS


def build() -> App:
    app = App(
        name="sluice",
        help="Inference jobs over Kafka.",
        version=lambda: f"sluice {version('sluice')}",
        help_format="plaintext",  # docstrings print as they are written, examples and all
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for title, verbs in GROUPS.items():
        for verb in verbs:
            app.command(verb.target, name=verb.name, group=title)
    return app


def sub_app(name: str, help_: str) -> App:
    """An application for a verb with commands of its own; settings not given here are inherited."""
    return App(name=name, help=help_)
