"""`sluice replay report`: how the outcomes of a shadow run differ from those that count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from schemas.errors import ExitCode
from streams.cli.options import Json
from streams.cli.output import err, out, out_json, table
from streams.cli.progress import progress_bar
from streams.cli.replays import ReplayId, found_replay

if TYPE_CHECKING:
    from streams.shadow.cases import ShadowReport

TOLERANCE = validators.Number(gte=0, lt=1)


def report(
    replay_id: ReplayId,
    /,
    *,
    html: Annotated[
        Path | None,
        Parameter(help="Write the report with pictures to this file, which only you may read. Default: no file."),
    ] = None,
    tolerance: Annotated[
        float, Parameter(validator=TOLERANCE, help="Numbers count as equal within this relative difference.")
    ] = 0.0,
    json: Json = False,
) -> int:
    """Compare a shadow run with the outcomes that count: per case, and over all.

    Numbers by their difference, texts by similarity, tables by row, masks by Dice
    and volume. The report has outputs, and so data of patients. While shadow runs
    are open it is partial, and the exit status is 8.

    For example:

        sluice replay report 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice replay report 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --html r.html
        sluice replay report 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --json
    """
    from streams.shadow.report_text import partial_line

    made = _made(replay_id, tolerance)
    if html is not None:
        from streams.shadow.report import write_private
        from streams.shadow.report_html import html_of

        write_private(html, html_of(made))
        err(f"written to {html}, for your eyes only: it has data of patients")
    if json:
        from streams.shadow.report_json import json_of

        out_json(json_of(made))
    else:
        _print(made)
    if (partial := partial_line(made)) is not None:
        err(partial)
    return ExitCode.OK if made.summary.complete else ExitCode.PARTIAL


def _made(replay_id: str, tolerance: float) -> ShadowReport:
    from streams import wiring
    from streams.settings import load_settings
    from streams.shadow.report import make_report

    settings = load_settings()
    with wiring.replay_store(settings) as replays:
        replay = found_replay(replays, replay_id)
    with wiring.shadow_store(settings) as store, progress_bar("compared", replay.total) as advance:
        return make_report(replay, store, wiring.object_store(settings), tolerance=tolerance, advance=advance)


def _print(made: ShadowReport) -> None:
    from streams.shadow.report_text import FIELD_HEADS, HEADS, case_rows, field_rows, summary_lines

    for line in summary_lines(made):
        out(line)
    if made.summary.fields:
        out()
        out(table(field_rows(made), FIELD_HEADS))
    if made.cases:
        out()
        out(table(case_rows(made), HEADS))
