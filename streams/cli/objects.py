"""`sluice objects collect`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import out, out_json

app = sub_app(
    "objects",
    """Delete stored files that nothing refers to.

For example:

    sluice objects collect --dry-run    # count what would go
    sluice objects collect              # once a day, by cron
""",
)

DryRun = Annotated[bool, Parameter(name="--dry-run", help="Count only; change nothing.", negative="")]


@app.command
def collect(*, dry_run: DryRun = False, json: Json = False) -> int:
    """Delete stored files that no row and no record in the log refers to.

    A file must be older than SLUICE_OBJECTS_GRACE_H. It goes to the trash first,
    where a reader still finds it; a later run deletes it, after as long again.
    Pieces of uploads that never ended go at once, and so do outputs that were kept
    to be reused, once SLUICE_MEMO_DAYS are over or no job has their input. Reads
    all retained records of the log, so run it once a day, not once a minute.

    For example:

        sluice objects collect --dry-run
        sluice objects collect --json | jq .deleted_bytes
    """
    from streams import wiring
    from streams.retention.collect import collect as collect_objects
    from streams.settings import load_settings

    settings = load_settings()
    with wiring.retention_store(settings) as rows:
        done = collect_objects(settings, wiring.object_store(settings), rows, dry_run=dry_run)
    if json:
        out_json(done)
        return 0
    would = "would be " if dry_run else ""
    out(f"{done.kept + done.young} files stay, {done.young} of them younger than the grace period")
    out(f"{done.trashed} files {would}put in the trash ({done.trashed_bytes} bytes); {done.waiting} wait there")
    out(f"{done.deleted} files {would}deleted ({done.deleted_bytes} bytes); {done.restored} {would}restored")
    out(f"{done.leftovers} pieces and notes of uploads that never ended {would}deleted")
    out(f"{done.memos} outputs that are not to be reused any more {would}deleted")
    return 0
