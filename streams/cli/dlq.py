"""`sluice dlq`: find dead letters in groups, explain one, redrive them, drop them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.dlq_redrive import redrive
from streams.cli.dlq_selection import LetterOptions, Places, chosen
from streams.cli.options import COUNT, Json
from streams.cli.output import err, json_text, one_line, out, out_json, table

if TYPE_CHECKING:
    from connectors.dead_letter_store import DeadLetter, DeadLetterStore
    from streams.dead_letters.details import LetterDetails
    from streams.settings import Settings

app = sub_app(
    "dlq",
    """Find dead letters, see why they failed, redrive or drop them.

A dead letter is a record that a service could not use. Those that failed alike
are a group, named by its fingerprint. A place is written as it is printed, or
PARTITION:OFFSET for short.

For example:

    sluice dlq list
    sluice dlq show 3:12
    sluice dlq redrive --group 1f0c9a7be2d4 --dry-run
    sluice dlq redrive --group 1f0c9a7be2d4 --note "the schema is back"
    sluice dlq drop 3:12 --reason "a test of ours"
""",
)
app.command(redrive)

_TIME = "%Y-%m-%d %H:%M:%S"
#: Newest dead letters of a group that `show` prints.
SHOWN = 10

StateName = Literal["open", "redriven", "dropped", "all"]


@app.command(name="list")
def list_(
    *,
    reason: Annotated[
        str | None, Parameter(help="Only dead letters with this reason, as UNDECODABLE. Default: all.")
    ] = None,
    which: LetterOptions | None = None,
    state: Annotated[StateName, Parameter(help="Only dead letters in this state.")] = "open",
    each: Annotated[bool, Parameter(help="List each dead letter by itself, newest first.")] = False,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], validator=COUNT, help="Number to list with --each.")] = 20,
    json: Json = False,
) -> int:
    """List groups of dead letters that failed alike, the largest first.

    For example:

        sluice dlq list
        sluice dlq list --processor echo --since 24h
        sluice dlq list --group 1f0c9a7be2d4 --each
    """
    from dataclasses import replace

    from streams.settings import load_settings

    settings = load_settings()
    wanted = (which or LetterOptions()).wanted(settings, reason=reason)
    wanted = wanted if state == "all" else replace(wanted, states=[state])
    with _store(settings) as store:
        if each:
            return _list_each(store.find(wanted, limit), limit, json)
        groups = store.groups(wanted)
    if json:
        out_json(groups)
        return 0
    lines = [
        (
            g.fingerprint,
            g.letters,
            g.reason,
            g.processor or "-",
            g.first_at,
            g.last_at,
            f"{g.partition}:{g.offset}",
            g.summary,
        )
        for g in groups
    ]
    out(table(lines, ("GROUP", "COUNT", "REASON", "PROCESSOR", "FIRST (UTC)", "LAST (UTC)", "NEWEST", "MESSAGE")))
    return 0


@app.command
def show(
    target: Annotated[str, Parameter(help="Place of a dead letter, or fingerprint of a group.")],
    /,
    *,
    json: Json = False,
) -> int:
    """Show a dead letter, or a group with its newest dead letter.

    Prints why it failed, the record's headers, its value (or its bytes, and why
    they can't be decoded), and what a redrive would do. Exit status 5 if there is
    none.

    For example:

        sluice dlq show 3:12
        sluice dlq show "dead-letters[3]@12" --json
        sluice dlq show 1f0c9a7be2d4
    """
    from connectors.dead_letter_store import DeadLetterFilter
    from schemas.errors import NotFound
    from streams.client.commands import default_requester
    from streams.dead_letters.places import is_group
    from streams.dead_letters.redrive import RedrivePlanner, redrive_of
    from streams.replay.start import ReplayOptions
    from streams.settings import load_settings

    settings = load_settings()
    group = is_group(target)
    wanted = DeadLetterFilter(fingerprint=target) if group else LetterOptions().wanted(settings, (target,))
    with _store(settings) as store:
        found = store.find(wanted, SHOWN)
        if not found:
            raise NotFound(f"There is no dead letter {target}.", next_step="`sluice dlq list --state all` lists them.")
        groups = store.groups(wanted) if group else []
    new = redrive_of(settings, {}, ReplayOptions(default_requester()))
    with RedrivePlanner(settings) as planner:
        details = planner.details(found[0], new)
    if json:
        out_json({**({"group": groups[0]} if group else {}), "letter": details})
        return 0
    if group:
        from streams.explain.finding import counted

        out(f"{counted(groups[0].letters, 'dead letter')}, {groups[0].open} of them open; the newest:")
        _list_each(found, SHOWN, as_json=False)
        out()
    out(as_text(details))
    return 0


@app.command(usage="Usage: sluice dlq drop [OPTIONS] [PLACES...]")
def drop(
    *places: Places,
    reason: Annotated[str, Parameter(help="Why, for those who read it later.")],
    which: LetterOptions | None = None,
    dry_run: Annotated[bool, Parameter(name="--dry-run", help="Print only how many would be dropped.")] = False,
    json: Json = False,
) -> int:
    """Drop open dead letters: they are listed no more, unless asked for.

    The row stays, with who and when and why; the record stays in the log. Exit
    status 5 if a place has no dead letter, 7 if it is not open.

    For example:

        sluice dlq drop 3:12 3:13 --reason "a test of ours"
        sluice dlq drop --group 1f0c9a7be2d4 --reason "resubmitted" --dry-run
    """
    from schemas.errors import UsageError
    from streams.client.commands import default_requester
    from streams.dead_letters.redrive import check_places, count_open
    from streams.settings import load_settings

    if not reason.strip():
        raise UsageError("Why are they dropped?", next_step='Give --reason "…".')
    settings = load_settings()
    wanted = chosen(settings, places, which, None)
    with _store(settings) as store:
        check_places(store, wanted)
        number = count_open(store, wanted) if dry_run else store.drop(wanted, default_requester(), reason)
    if json:
        out_json({"dead_letters": number, "dry_run": dry_run})
    else:
        out(f"{'to be dropped' if dry_run else 'dropped'}: {number}; the records stay in the log")
    return 0


def as_text(details: LetterDetails) -> str:
    """Return a dead letter in some lines."""
    from streams.dead_letters.details import hex_dump
    from streams.dead_letters.places import print_place

    letter, fields = details.letter, {**details.headers, **details.reasons}
    known = "" if letter.job_known else ", which the store does not know"
    job = "names no job" if letter.job_id is None else f"of job {letter.job_id}, run {letter.run}{known}"
    lines = [
        f"{print_place(letter)}  {letter.at:{_TIME}} UTC  {letter.reason}  group {letter.fingerprint}  {letter.state}",
        f"  {one_line(details.message) or 'It has no message.'}",
        f"  {job}; from {letter.origin_topic or 'nowhere'}[{letter.origin_partition}]@{letter.origin_offset}, "
        f"attempts {letter.attempts}, by {letter.worker or '?'}",
    ]
    if letter.changed_at is not None:
        replay = f", replay {letter.replay_id}" if letter.replay_id else ""
        lines.append(f"  {letter.state} {letter.changed_at:{_TIME}} UTC by {letter.changed_by}{replay}: {letter.note}")
    lines += ["headers:", *(f"  {one_line(name)}: {one_line(value)}" for name, value in fields.items())]
    if details.undecodable is None:
        lines += [f"value{' (of its original)' if details.without_value else ''}:", json_text(details.value)]
    else:
        lines.append(f"value not readable: {details.undecodable}")
        lines += ["its first bytes:", hex_dump(details.hex)] if details.hex else []
    return "\n".join([*lines, details.redrive])


def _list_each(letters: list[DeadLetter], limit: int, as_json: bool) -> int:
    from streams.dead_letters.places import print_place

    if as_json:
        out_json(letters)
        return 0
    lines = [
        (print_place(one), one.at, one.reason, one.processor or "-", one.job_id, one.state, one.summary)
        for one in letters
    ]
    out(table(lines, ("PLACE", "AT (UTC)", "REASON", "PROCESSOR", "JOB", "STATE", "MESSAGE")))
    if len(letters) == limit:
        err(f"These are the newest {limit}; `sluice dlq list --each --limit N` lists more.")
    return 0


def _store(settings: Settings) -> DeadLetterStore:
    from streams import wiring

    return wiring.dead_letter_store(settings)
