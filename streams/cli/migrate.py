"""`sluice migrate`: the database's tables."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import out, say_json

Check = Annotated[bool, Parameter(help="Only say what is missing; exit status 8 when something is.")]


def migrate(*, check: Check = False, json: Json = False) -> int:
    """Bring the database's tables up to this version.

    Applies the numbered migrations that this database lacks, in order. Running it
    twice, or from two places at once, does no harm.

    For example:

        sluice migrate
        sluice migrate --check     # in a pipeline, before the new version starts
    """
    from connectors import postgres
    from schemas.errors import ExitCode
    from streams.settings import load_settings

    database = load_settings().database
    names = postgres.pending(database) if check else postgres.migrate(database)
    if json:
        say_json({"pending" if check else "applied": names})
    else:
        word = "missing" if check else "applied"
        out("\n".join(f"{word}: {name}" for name in names) or "Nothing to do: the tables are those of this version.")
    return ExitCode.PARTIAL if check and names else ExitCode.OK
