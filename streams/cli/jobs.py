"""`sluice jobs`: list jobs, or count them by state."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from streams.cli.options import COUNT, Json
from streams.cli.output import err, out, out_json, table

State = Annotated[
    Literal["PENDING", "PROCESSING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"] | None,
    Parameter(help="Only jobs in this state. Default: all."),
]
Processor = Annotated[str | None, Parameter(help="Only jobs of this processor. Default: all.")]
Limit = Annotated[int, Parameter(name=["--limit", "-n"], validator=COUNT, help="Number of jobs to list.")]
Counts = Annotated[bool, Parameter(help="Print only the number of jobs in each state.")]


def jobs(
    *, state: State = None, processor: Processor = None, limit: Limit = 20, counts: Counts = False, json: Json = False
) -> int:
    """List jobs, newest first.

    For example:

        sluice jobs
        sluice jobs --state FAILED --processor segmentation
        sluice jobs --counts
        sluice jobs --state FAILED --limit 1000 --json | jq -r '.[].job_id'
    """
    from schemas.contract import known_processors, unknown_processor
    from streams import wiring
    from streams.settings import load_settings

    with wiring.job_store(load_settings()) as store:
        if counts:
            found = store.counts()
            out_json(found) if json else out(table(found.items(), ("STATE", "JOBS")))
            return 0
        rows = store.find(state=state, processor=processor, limit=limit)
    if not rows and processor is not None and processor not in known_processors():
        raise unknown_processor(processor)  # jobs of a processor that is no longer installed are listed
    if json:
        out_json(rows)
        return 0
    lines = [(r.job_id, r.processor, r.state, r.attempt, r.requested_at, r.external_id, r.error_code) for r in rows]
    out(table(lines, ("JOB", "PROCESSOR", "STATE", "ATTEMPT", "REQUESTED (UTC)", "EXTERNAL ID", "ERROR")))
    if len(rows) == limit:
        err(f"These are the newest {limit}; --limit N lists more.")
    return 0
