"""`sluice topics plan` and `sluice topics apply`."""

from __future__ import annotations

from streams.admin.changes import Change, ChangeKind
from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, out_json, table

app = sub_app(
    "topics",
    """Create and update topics, schemas and consumer group offsets.

Topics are declared in code for every installed processor. `plan` lists what
differs on the broker and in the schema registry, `apply` makes the changes.
Nothing is ever removed. Applying twice changes nothing.
`sluice up` applies them too.

For example:

    sluice topics plan             # list the changes
    sluice topics apply            # make them
    sluice topics apply --json     # make them and print them as JSON
""",
)


@app.command
def plan(*, json: Json = False) -> int:
    """List what `apply` would change. Exit status 8 if there are changes.

    For example:

        sluice topics plan
        sluice topics plan --json || sluice topics apply
    """
    from schemas.errors import ExitCode
    from streams import wiring
    from streams.admin import topics
    from streams.settings import load_settings

    settings = load_settings()
    changes = topics.plan(settings, wiring.contracts(settings))
    _show(changes, json, "Nothing to change: the broker and the registry match the declarations.")
    return ExitCode.PARTIAL if any(change.kind is not ChangeKind.WARNING for change in changes) else ExitCode.OK


@app.command
def apply(*, json: Json = False) -> int:
    """Make the broker and the registry match the declarations.

    Creates missing topics, adds partitions, alters topic configs, registers
    schemas (FULL_TRANSITIVE compatibility), and commits the worker groups' first
    offsets, so that a new worker never skips or repeats requests. Offsets whose
    requests have left the log are set to the first request that is left.

    For example:

        sluice topics apply
        SLUICE_PARTITIONS=24 sluice topics apply    # more partitions
    """
    from streams import wiring
    from streams.admin import topics
    from streams.settings import load_settings

    settings = load_settings()
    _show(topics.apply(settings, wiring.contracts(settings)), json, "Nothing to change.")
    return 0


def _show(changes: list[Change], as_json: bool, nothing: str) -> None:
    if as_json:
        out_json(changes)
        return
    done = [change for change in changes if change.kind is not ChangeKind.WARNING]
    out(table([(c.kind, c.target, c.detail) for c in done], ("CHANGE", "TARGET", "DETAIL")) if done else nothing)
    for change in changes:
        if change.kind is ChangeKind.WARNING:
            err(f"warning: {change.target} {change.detail}")
