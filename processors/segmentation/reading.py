"""Reads a file of unknown format as a volume: its first bytes tell the format."""

from __future__ import annotations

from pathlib import Path

from processors.segmentation.dicom import ZIP_MAGIC, read_dicom_zip
from processors.segmentation.nifti import looks_like_nifti, read_nifti
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput

KINDS = ("auto", "nifti", "dicom")


def read_volume(path: Path, kind: str = "auto") -> Volume:
    """The volume in `path`. Raises InvalidInput when it is no readable NIfTI file and no zip of one DICOM series."""
    if kind not in KINDS:
        raise InvalidInput(f"Unknown kind {kind[:20]!r}.", next_step=f"Use one of {', '.join(KINDS)}.")
    with path.open("rb") as stream:
        start = stream.read(8)
    if kind == "dicom" or (kind == "auto" and start[:4] == ZIP_MAGIC):
        return read_dicom_zip(path)
    if kind == "nifti" or looks_like_nifti(start):
        return read_nifti(path)
    raise InvalidInput(
        "The file is neither NIfTI nor a zip of DICOM files.",
        next_step="Send a .nii, a .nii.gz or a zip of one DICOM series.",
    )
