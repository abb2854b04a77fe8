"""`sluice upload`: store a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import err, out_json

File = Annotated[Path, Parameter(help="The file to store.")]
Kind = Annotated[str, Parameter(help="Type of the content, free text: mr-volume, dicom-series, … Default: none.")]
CaseId = Annotated[str | None, Parameter(help="Case the file belongs to. Default: none.")]
Label = Annotated[
    tuple[str, ...], Parameter(help="A label, as key=value; repeatable. Routing rules can ask for it. Default: none.")
]
Tenant = Annotated[str, Parameter(help="Tenant that owns the file.")]


def upload(
    file: File,
    /,
    *,
    kind: Kind = "",
    case_id: CaseId = None,
    label: Label = (),
    tenant: Tenant = "default",
    json: Json = False,
) -> int:
    """Store a file and print its claim check, to use as a job's input.

    The file is put in the object store under the sha256 of its content, so the
    same file is stored only once. The upload becomes a row in the database, and
    an Upload event goes to the topic `uploads`.
    Put the printed claim check into the field of a job's input.

    For example:

        sluice upload scan.nii.gz --kind mr-volume --case-id 4711
        sluice upload markers.csv --kind biomarker --label job_role=LIS
        CLAIM=$(sluice upload scan.nii.gz)
        sluice submit segmentation --input "{\\"volume\\": $CLAIM}" --wait
        sluice upload scan.nii.gz --json      # print the whole Upload event
    """
    from streams.cli.inputs import pairs, put_file
    from streams.client.uploads import accept, upload_labels
    from streams.settings import load_settings

    labels = upload_labels(pairs(label, "--label"))
    settings = load_settings()
    claim = put_file(settings, file)
    event = accept(settings, claim, filename=file.name, kind=kind, case_id=case_id, tenant=tenant, labels=labels)
    out_json(event if json else claim)
    err(f"upload {event.upload_id}: {claim.size} bytes")
    return 0
