"""A DICOM series in files, as a volume with its slices' headers in the same order."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset

from processors.segmentation.dicom import FOREIGN, read_slice, volume_of, within_limits
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput

#: Text in every copy of a header: any name can be written in it.
UTF_8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Series:
    """`volume`: the intensities. `headers`: of the slices along the volume's third axis, without pixels, texts in UTF-8."""

    volume: Volume
    headers: list[FileDataset]


def read_series(paths: Sequence[Path]) -> Series:
    """Read the files of one series, in any order. Raises InvalidInput, PayloadTooLarge; no message names a patient."""
    try:
        size = sum(path.stat().st_size for path in paths)
        contents = list(within_limits((path.read_bytes() for path in paths), size))
        headers = [_header(content) for content in contents]
        _check_kind(headers)
        slices = [one for content in contents if (one := read_slice(content)) is not None]
        if not slices or len(slices) < len(contents):
            raise InvalidInput(f"{len(contents) - len(slices)} of the {len(contents)} files are no whole images.")
        volume, order = volume_of(slices)
        return Series(volume, [headers[index] for index in order])
    except FOREIGN as error:
        raise InvalidInput(f"The series can't be read: damaged, or no MR series ({type(error).__name__}).") from error


def _header(content: bytes) -> FileDataset:
    """Return a file's elements before the pixels, with texts decoded from the file's own character set.

    highdicom copies the patient's and the study's elements into what it writes, and refuses a character set that begins with
    an empty value, as `\\ISO 2022 IR 149` does in Korean files.
    """
    header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, force=True)
    header.decode()
    header.SpecificCharacterSet = UTF_8
    return header


def _check_kind(headers: Sequence[FileDataset]) -> None:
    if not headers:
        raise InvalidInput("The series has no files.")
    kinds = {str(header.get("Modality", "")) for header in headers}
    if kinds != {"MR"}:
        raise InvalidInput("The series is no MR series.", next_step="Give the id of a series of MR images.")
    if len(frames := {str(header.get("FrameOfReferenceUID", "")) for header in headers}) > 1:
        raise InvalidInput(f"The slices are of {len(frames)} frames of reference: they are not one volume.")
    if not headers[0].get("StudyInstanceUID"):
        raise InvalidInput("The slices name no study, so no segmentation can be filed with them.")
    if frames == {""}:
        raise InvalidInput("The slices name no frame of reference, so no segmentation can be placed on them.")
