"""`sluice migrate`: database migrations."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import out, out_json

Check = Annotated[bool, Parameter(help="List missing migrations, change nothing; exit status 8 if there are any.")]


def migrate(*, check: Check = False, json: Json = False) -> int:
    """Bring the database tables up to this version.

    Applies the numbered migrations that the database lacks, in order. It is safe
    to run it again, or from several places at once. `sluice up` does it too.

    For example:

        sluice migrate
        sluice migrate --check     # before a deployment: is anything missing?
    """
    from schemas.errors import ExitCode
    from streams import wiring
    from streams.settings import load_settings

    settings = load_settings()
    names = wiring.pending_migrations(settings) if check else wiring.migrate(settings)
    if json:
        out_json({"pending" if check else "applied": names})
    else:
        word = "missing" if check else "applied"
        out("\n".join(f"{word}: {name}" for name in names) or "Nothing to do: the database is up to date.")
    return ExitCode.PARTIAL if check and names else ExitCode.OK
