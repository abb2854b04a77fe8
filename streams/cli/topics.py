"""`sluice topics plan|apply`."""

from __future__ import annotations

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, say_json, table
from streams.log.changes import Change, ChangeKind

app = sub_app(
    "topics",
    """Compare topics, schemas and offsets with the broker, and apply.

Topics are declared in code, once, for every processor that is installed. `plan`
says what differs on the broker and in the schema registry, `apply` changes it.
Nothing is ever removed, and applying twice changes nothing.

For example:

    sluice topics plan             # what would change; exit status 0 when nothing would
    sluice topics apply            # change it
    sluice topics apply --json     # what was changed, for programs
""",
)


@app.command
def plan(*, json: Json = False) -> int:
    """Say what `apply` would change; exit status 8 when something would.

    For example:

        sluice topics plan
        sluice topics plan --json || sluice topics apply
    """
    from schemas.errors import ExitCode
    from streams import wiring
    from streams.log import topics
    from streams.settings import load_settings

    settings = load_settings()
    changes = topics.plan(settings, wiring.contracts(settings))
    _show(changes, json, "Nothing to change: the broker and the registry are as declared.")
    return ExitCode.PARTIAL if any(change.kind is not ChangeKind.WARNING for change in changes) else ExitCode.OK


@app.command
def apply(*, json: Json = False) -> int:
    """Make the broker and the registry as declared.

    Creates missing topics, adds partitions, alters configs, registers schemas
    (FULL_TRANSITIVE), and gives the worker groups their first offsets, so that
    workers never have to guess where to begin.

    For example:

        sluice topics apply
        SLUICE_PARTITIONS=24 sluice topics apply    # more partitions
    """
    from streams import wiring
    from streams.log import topics
    from streams.settings import load_settings

    settings = load_settings()
    _show(topics.apply(settings, wiring.contracts(settings)), json, "Nothing to change.")
    return 0


def _show(changes: list[Change], as_json: bool, nothing: str) -> None:
    if as_json:
        say_json(changes)
        return
    done = [change for change in changes if change.kind is not ChangeKind.WARNING]
    out(table([(c.kind, c.target, c.detail) for c in done], ("CHANGE", "TARGET", "DETAIL")) if done else nothing)
    for change in changes:
        if change.kind is ChangeKind.WARNING:
            err(f"warning: {change.target} {change.detail}")
