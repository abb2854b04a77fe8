"""`sluice topics`: plan and apply what is declared; list and show what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.admin.changes import Change, ChangeKind
from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import duration, err, one_line, out, out_json, table
from streams.cli.tail import Bulk, Outcomes, Requests, Results, What
from streams.cli.topic_names import topic_of

if TYPE_CHECKING:
    from streams.admin.topic_views import TopicView

app = sub_app(
    "topics",
    """Create, update and list topics, schemas and consumer group offsets.

Topics are declared in code for every installed processor. `plan` lists what
differs on the broker and in the schema registry, `apply` makes the changes.
Nothing is ever removed. Applying twice changes nothing.
`sluice up` applies them too.

`list` and `show` say how much each topic holds, since when, which schemas wrote
it, and which groups read it.

For example:

    sluice topics list
    sluice topics show echo --requests
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


@app.command(name="list")
def list_(*, json: Json = False) -> int:
    """List the declared topics: partitions, records, size, retention, times, readers.

    RECORDS counts offsets: a compacted topic holds fewer records. SIZE is an
    estimate by the newest records, before compression. Exit status 8 if a declared
    topic does not exist.

    For example:

        sluice topics list
        sluice topics list --json | jq '.[] | select(.readers == []) | .name'
    """
    from schemas.errors import ExitCode
    from streams import wiring
    from streams.admin.topic_views import topic_views
    from streams.settings import load_settings

    settings = load_settings()
    views = topic_views(settings, wiring.contracts(settings))
    if json:
        out_json(views)
    else:
        head = ("TOPIC", "PARTITIONS", "RECORDS", "SIZE", "KEPT", "FIRST (UTC)", "LAST (UTC)", "READERS")
        out(table(map(_row, views), head))
    return ExitCode.OK if all(view.exists for view in views) else ExitCode.PARTIAL


@app.command
def show(
    what: What,
    /,
    *,
    requests: Requests = False,
    bulk: Bulk = False,
    results: Results = False,
    outcomes: Outcomes = False,
    json: Json = False,
) -> int:
    """Show one topic with its partitions, schemas and readers.

    For example:

        sluice topics show dead-letters
        sluice topics show segmentation --requests
    """
    from streams import wiring
    from streams.admin.topic_views import topic_view
    from streams.settings import load_settings

    settings = load_settings()
    chosen = {"requests": requests, "bulk": bulk, "results": results, "outcomes": outcomes}
    topic = topic_of(settings, what, [kind for kind, wanted in chosen.items() if wanted])
    view, partitions = topic_view(settings, wiring.contracts(settings), topic)
    if json:
        out_json({"topic": view, "partitions": partitions})
        return 0
    facts = {**dict(zip(_FACTS, _row(view), strict=True)), "subject": view.subject or "-", "schema": _schemas(view)}
    out(
        "\n".join(f"{name.ljust(11)} {'-' if value is None else one_line(str(value))}" for name, value in facts.items())
    )
    rows = [(p.partition, f"{p.end - p.begin:,}", p.begin, p.end, p.first_at, p.last_at) for p in partitions]
    out("\n" + table(rows, ("PARTITION", "RECORDS", "FIRST OFFSET", "NEXT OFFSET", "FIRST (UTC)", "LAST (UTC)")))
    return 0


_FACTS = ("topic", "partitions", "records", "size", "kept", "first", "last", "readers")


def _row(view: TopicView) -> tuple[object, ...]:
    readers = ", ".join(view.readers) or "-"
    if not view.exists:
        return view.name, view.partitions, "missing", "-", "-", None, None, "-"
    records = f"{view.records:,}"
    return view.name, view.partitions, records, _size(view.bytes), _kept(view), view.first_at, view.last_at, readers


def _schemas(view: TopicView) -> str:
    this = (
        f"this version's has the id {view.schema_id}"
        if view.schema_id is not None
        else "this version's is not registered"
    )
    used = ", ".join(f"{schema_id} ({count} records)" for schema_id, count in view.schemas.items())
    return f"{this if view.subject else 'none declared'}; the newest records have {used or 'none'}"


def _size(size: int | None) -> str:
    if size is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"≈ {size:.0f} {unit}"
        size //= 1000
    return f"≈ {size:,} TB"


def _kept(view: TopicView) -> str:
    kept = "for ever" if view.retention_ms is None else duration(view.retention_ms / 1000)
    return f"{kept}, compacted" if view.compacted else kept


def _show(changes: list[Change], as_json: bool, nothing: str) -> None:
    if as_json:
        out_json(changes)
        return
    done = [change for change in changes if change.kind is not ChangeKind.WARNING]
    out(table([(c.kind, c.target, c.detail) for c in done], ("CHANGE", "TARGET", "DETAIL")) if done else nothing)
    for change in changes:
        if change.kind is ChangeKind.WARNING:
            err(f"warning: {change.target} {change.detail}")
