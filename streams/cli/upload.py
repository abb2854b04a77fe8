"""`sluice upload`: a file, handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import err, say_json

File = Annotated[Path, Parameter(help="The file to hand in.")]
Kind = Annotated[str, Parameter(help="What it is, for rules and people: mr-volume, dicom-series, …")]
CaseId = Annotated[str | None, Parameter(help="The case it belongs to.")]
Tenant = Annotated[str, Parameter(help="Whose it is.")]


def upload(
    file: File, /, *, kind: Kind = "", case_id: CaseId = None, tenant: Tenant = "default", json: Json = False
) -> int:
    """Hand in a file and print the claim check for it.

    The file goes to the object store under the sha256 of its content, and an Upload
    event to the topic `uploads`. The claim that is printed goes into a job's input.
    The same file twice is stored once.

    For example:

        sluice upload scan.nii.gz --kind mr-volume --case-id 4711
        CLAIM=$(sluice upload scan.nii.gz)
        sluice submit segmentation --input "{\\"volume\\": $CLAIM}" --wait
        sluice upload scan.nii.gz --json      # the whole event
    """
    from streams.cli.inputs import put_file
    from streams.client.uploads import announce
    from streams.settings import load_settings

    settings = load_settings()
    claim = put_file(settings, file)
    event = announce(settings, claim, filename=file.name, kind=kind, case_id=case_id, tenant=tenant)
    say_json(event if json else claim)
    err(f"upload {event.upload_id}: {claim.size} bytes")
    return 0
