"""`sluice dlq redrive`: give dead letters to a replay, or say what would become of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from streams.cli.dlq_selection import LetterOptions, Places, chosen
from streams.cli.options import COUNT, Json
from streams.cli.output import err, jsonable, out, out_json, table
from streams.cli.replay import DEFAULT_RATE, RATE

if TYPE_CHECKING:
    from connectors.dead_letter_store import DeadLetter
    from connectors.replay_store import NewReplay
    from streams.replay.start import ReplayOptions
    from streams.settings import Settings

#: Refused dead letters that a dry run prints; --json prints all.
SHOWN = 20


@Parameter(name="*")
@dataclass(frozen=True)
class RedriveOptions:
    """How dead letters are redriven."""

    edit: Annotated[
        Path | None,
        Parameter(
            help="File with a JSON patch (RFC 6902) to apply to each input. Of a record that can't be decoded it must "
            'replace the whole input (path ""). Default: none.'
        ),
    ] = None
    rate: Annotated[float, Parameter(validator=RATE, help="Records published a second; 0.1: one in 10 seconds.")] = (
        DEFAULT_RATE
    )
    max: Annotated[int | None, Parameter(validator=COUNT, help="Redrive at most so many. Default: all.")] = None
    note: Annotated[str, Parameter(help="Why, kept with the replay. Default: none.")] = ""
    force: Annotated[bool, Parameter(help="Also jobs that were replayed too often (SLUICE_REPLAY_LIMIT).")] = False
    callbacks: Annotated[
        str, Parameter(help="Callbacks of the new runs: usual (those of the job), none, or a URL instead.")
    ] = "usual"

    def options(self, tenant: str | None) -> ReplayOptions:
        from streams.cli.replay import read_patch
        from streams.client.commands import default_requester
        from streams.replay.start import ReplayOptions

        return ReplayOptions(
            default_requester(),
            self.note,
            tenant=tenant,
            rate=self.rate,
            at_most=self.max,
            force=self.force,
            callbacks=self.callbacks,
            edit=None if self.edit is None else read_patch(self.edit),
        )


def redrive(
    *places: Places,
    reason: Annotated[
        str | None, Parameter(help="Only dead letters with this reason, as UNDECODABLE. Default: all.")
    ] = None,
    which: LetterOptions | None = None,
    how: RedriveOptions | None = None,
    dry_run: Annotated[
        bool, Parameter(name="--dry-run", help="Read each record and print what would become of it.")
    ] = False,
    wait: Annotated[bool, Parameter(help="Wait until the new runs have ended.")] = False,
    detach: Annotated[bool, Parameter(help="Return at once; the timekeeper goes on.")] = False,
    json: Json = False,
) -> int:
    """Run the jobs of dead letters again, once what broke them is mended.

    A job that is known runs again as its next run, in the bulk lane. A record of an
    unknown job goes back to its topic as it was. A record that still can't be used
    is refused with the reason. The timekeeper publishes them, as `sluice replay`
    shows. Exit status 5 if a place has no dead letter or none is selected, 7 if a
    place's is not open.

    For example:

        sluice dlq redrive --group 1f0c9a7be2d4 --dry-run
        sluice dlq redrive --reason UNKNOWN_SCHEMA --since 2h --note "mended"
        sluice dlq redrive 3:12 --edit patch.json --wait
    """
    from streams import wiring
    from streams.dead_letters.redrive import described, open_letters, redrive_of
    from streams.settings import load_settings

    settings = load_settings()
    wanted = chosen(settings, places, which, reason)
    options = (how or RedriveOptions()).options(wanted.tenant)
    new = redrive_of(settings, described(wanted), options)
    with wiring.dead_letter_store(settings) as letters:
        found = open_letters(letters, wanted)[: options.at_most]
    return _dry_run(settings, found, new, json) if dry_run else _start(settings, found, new, wait, detach, json)


def _start(settings: Settings, letters: list[DeadLetter], new: NewReplay, wait: bool, detach: bool, json: bool) -> int:
    from schemas.errors import NotFound
    from streams import wiring
    from streams.cli.replays import as_json, as_text, follow
    from streams.dead_letters.redrive import sources
    from streams.explain.finding import counted

    if not letters:
        raise NotFound(
            "No open dead letter is selected, so nothing was started.",
            next_step="`sluice dlq list --state all` has the redriven and the dropped ones, too.",
        )
    with wiring.replay_store(settings) as store:
        started = store.start(new, sources(letters))
        if not json:
            err(f"replay {started.replay_id}: {counted(started.total, 'dead letter')}, {started.parked} of them parked")
        ended, outcomes = (started, None) if detach else follow(store, started, wait=wait)
    out_json(as_json(ended, outcomes)) if json else out(as_text(ended, outcomes))
    return 0


def _dry_run(settings: Settings, letters: list[DeadLetter], new: NewReplay, json: bool) -> int:
    from streams.cli.progress import progress_bar
    from streams.dead_letters.redrive import RedrivePlanner
    from streams.explain.finding import counted

    refused: list[Any] = []
    with RedrivePlanner(settings) as planner:
        with progress_bar("checked", len(letters)) as advance:
            for refusal in planner.refusals(letters, new):
                refused += [] if refusal is None else [refusal]
                advance()
        parked = planner.parked(letters, new)
    if json:
        counts = {"dead_letters": len(letters), "redrivable": len(letters) - len(refused)}
        out_json({**counts, "refused": jsonable(refused), "parked": jsonable(parked), "dry_run": True})
        return 0
    out(
        f"{counted(len(letters), 'dead letter')}: {len(letters) - len(refused)} can be redriven, {len(refused)} would fail"
    )
    for one in parked:
        out(f"{one.jobs} would be parked: {one.reason}")
    if refused:
        out(table([(one.place, one.reason) for one in refused[:SHOWN]], ("PLACE", "WHY NOT")))
    return 0
