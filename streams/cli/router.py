"""`sluice router`: turn uploads into jobs, and join outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streams.cli.output import out
from streams.cli.service import Service, serve
from streams.settings import Settings

Check = Annotated[
    Path | None, Parameter(help="Check this file of rules and exit. Needs no Kafka. Default: run.", metavar="FILE")
]
Schema = Annotated[bool, Parameter(help="Print the JSON schema of the rules and exit, for an editor.")]


def router(*, check: Check = None, schema: Schema = False) -> int:
    """Turn uploads into jobs by rules, and join a case's outcomes into the next job.

    The rules are the TOML file SLUICE_ROUTER_RULES (docs/routing.md). Reads the
    uploads and the outcomes that they name; ids are derived, so that a record read
    twice makes one job. After a change of the rules run `sluice topics apply` and
    start the router again. Several may run: they share the work.

    For example:

        sluice router --check rules.toml      # names each mistake's rule and field
        SLUICE_ROUTER_RULES=rules.toml sluice router
    """
    if schema:
        from streams.router.rules import schema_text

        out(schema_text().rstrip())
        return 0
    if check is not None:
        from streams.router.checks import checked_rules

        rules = checked_rules(check)
        out(f"{check}: {len(rules.upload)} upload rules and {len(rules.join)} joins, nothing wrong")
        return 0

    def build(settings: Settings) -> Service:
        try:
            from streams.router.service import Router
        except ModuleNotFoundError as error:
            raise _not_installed(error) from error
        return Router(settings)

    return serve("router", build)


def _not_installed(error: ModuleNotFoundError) -> Exception:
    from schemas.errors import StartupError

    return StartupError(
        f"The router needs the module {error.name!r}, which is not installed.",
        next_step="Install the extra: pip install 'sluice[router]'.",
    )
