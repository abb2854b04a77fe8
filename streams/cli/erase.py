"""`sluice erase`: delete the contents of a case."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import out, out_json, table

Case = Annotated[str, Parameter(name="--case", help="Id of the case, as its jobs and uploads name it.")]
Tenant = Annotated[str, Parameter(help="Tenant that the case belongs to.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", help="Count only; change nothing.", negative="")]


def erase(*, case: Case, tenant: Tenant = "default", dry_run: DryRun = False, json: Json = False) -> int:
    """Delete a case's contents: inputs, results, files, names.

    Labels, messages and callback URLs too. Its jobs keep their ids, states and
    times. Runs that have not ended are cancelled. Files that another case refers
    to stay. What comes late is stored without contents. Prints what the log still
    holds and until when: records in Kafka can't be changed. Running it again is
    safe. Exit status 5 if nothing is known of the case.

    For example:

        sluice erase --case 4711 --dry-run
        sluice erase --case 4711 --tenant clinic --json
    """
    from schemas.errors import NotFound
    from streams import wiring
    from streams.client.commands import default_requester
    from streams.retention.erase import erase as erase_case
    from streams.settings import load_settings

    settings = load_settings()
    with wiring.retention_store(settings) as rows:
        found = rows.case(tenant, case)
        if not (found.job_ids or found.upload_ids or found.parts or rows.erasures(tenant, case)):
            raise NotFound(
                "No job and no upload names this case, and it was never erased.", next_step="Check --case and --tenant."
            )
        done = erase_case(
            settings, wiring.object_store(settings), rows, tenant, case, by=default_requester(), dry_run=dry_run
        )
    if json:
        out_json(done)
        return 0
    would = "would be " if dry_run else ""
    out(f"contents of {done.jobs} jobs, {done.uploads} uploads and {done.deliveries} callbacks {would}deleted")
    out(f"{done.objects} files {would}deleted; {done.shared} stay, because another case refers to them")
    out(f"{done.cancelled} runs {would}cancelled")
    if done.log:
        until = [each.until.strftime("%Y-%m-%d %H:%M UTC") if each.until else "no limit" for each in done.log]
        lines = [(each.topic, each.records, time) for each, time in zip(done.log, until, strict=True)]
        out("The log still holds:")
        out(table(lines, ("TOPIC", "RECORDS", "AT MOST ABOUT UNTIL")))
    return 0
