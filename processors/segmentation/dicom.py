"""A zip of one DICOM series, as a volume.

Only the tags that geometry and pixels need are read, nothing is unpacked to disk, names in the zip are never used, and no
message repeats a value from the file: it could be about a patient.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from processors.segmentation.volume import Affine, FloatArray, Volume, check_affine, check_data, check_shape
from schemas.errors import InvalidInput, PayloadTooLarge

# Values that break the standard are dealt with here; pydicom's warnings would print them.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

ZIP_MAGIC = b"PK\x03\x04"
MAX_FILES = 2048
MAX_UNPACKED_BYTES = 1 << 30
#: Slices may be off their even spacing by this share of it.
SPACING_TOLERANCE = 0.02

_NEEDED = [
    *("SOPClassUID", "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *(
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "NumberOfFrames",
        "BitsAllocated",
        "BitsStored",
    ),
    *("HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PixelData"),
]
_FOREIGN = (
    *(
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, InvalidDicomError),
)


def read_dicom_zip(path: Path) -> Volume:
    """The volume of the one series in the zip. Raises InvalidInput, PayloadTooLarge."""
    try:
        slices = _read_slices(path)
        _check_one_series(slices)
        ordered, affine = _geometry(slices)
        return Volume(check_data(_stack(ordered)), check_affine(affine))
    except _FOREIGN as error:
        raise InvalidInput(
            f"The zip of DICOM files can't be read: damaged, or no MR series ({type(error).__name__})."
        ) from error


def _read_slices(path: Path) -> list[FileDataset]:
    """Every image in the zip; other files, such as a DICOMDIR, are passed over."""
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
            raise PayloadTooLarge(
                f"The zip is too large: at most {MAX_FILES} files and {MAX_UNPACKED_BYTES >> 20} MiB unpacked."
            )
        if any(member.flag_bits & 1 for member in members):
            raise InvalidInput("The zip is encrypted.", next_step="Send it without a password.")
        read = [_read_slice(archive.read(member)) for member in members]
    slices = [one for one in read if one is not None and "PixelData" in one]
    if not slices:
        raise InvalidInput(f"None of the {len(members)} files in the zip is a DICOM image.")
    return slices


def _read_slice(content: bytes) -> FileDataset | None:
    try:
        return pydicom.dcmread(io.BytesIO(content), specific_tags=list(_NEEDED))
    except InvalidDicomError:
        return None


def _check_one_series(slices: list[FileDataset]) -> None:
    """Check for one series of single-frame grey slices of one size and orientation, in a format that can be decoded here."""
    series = {str(one.SeriesInstanceUID) for one in slices}
    if len(series) > 1:
        raise InvalidInput(f"The zip holds {len(series)} series.", next_step="Send one series a job.")
    first = slices[0]
    check_shape((int(first.Columns), int(first.Rows), len(slices)))
    for one in slices:
        if (
            int(one.get("NumberOfFrames") or 1) != 1
            or one.SamplesPerPixel != 1
            or one.PhotometricInterpretation != "MONOCHROME2"
        ):
            raise InvalidInput("The series has colour, inverted or multi-frame images; single grey slices are needed.")
        if (one.Rows, one.Columns) != (first.Rows, first.Columns) or not _same_plane(one, first):
            raise InvalidInput("The slices differ in size, pixel spacing or orientation: they are not one volume.")
        _check_decodable(one)


def _same_plane(one: FileDataset, other: FileDataset) -> bool:
    return np.allclose(one.ImageOrientationPatient, other.ImageOrientationPatient, atol=1e-3) and np.allclose(
        one.PixelSpacing, other.PixelSpacing, rtol=1e-3
    )


def _check_decodable(one: FileDataset) -> None:
    syntax = one.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax.is_encapsulated and not _has_decoder(syntax):
        raise InvalidInput(
            f"The images are compressed as {syntax.name} ({syntax}), which is not decoded here.",
            next_step="Send them uncompressed (Explicit VR Little Endian) or RLE.",
        )


def _has_decoder(syntax: pydicom.uid.UID) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _geometry(slices: list[FileDataset]) -> tuple[list[FileDataset], Affine]:
    """The slices from first to last along their normal, and the affine from (column, row, slice) to R-A-S millimetres."""
    along_row, along_column = np.array(slices[0].ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    positions = np.array([one.ImagePositionPatient for one in slices], dtype=np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    _check_spacing(np.diff((positions @ normal)[order]))
    between_rows, between_columns = (float(side) for side in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = along_row * between_columns
    affine[:3, 1] = along_column * between_rows
    affine[:3, 2] = (positions[order[-1]] - positions[order[0]]) / (len(slices) - 1)
    affine[:3, 3] = positions[order[0]]
    # DICOM counts towards left and posterior, NIfTI towards right and anterior.
    return [slices[index] for index in order], np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_spacing(steps: Affine) -> None:
    typical = float(np.median(steps))
    if (steps <= 1e-3).any():
        raise InvalidInput("Two slices lie at the same place: duplicates, or several time points or echoes.")
    uneven = int((np.abs(steps - typical) > SPACING_TOLERANCE * typical).sum())
    if uneven:
        raise InvalidInput(
            f"The slices are not evenly spaced: {uneven} of {len(steps)} gaps differ; slices may be missing."
        )


def _stack(slices: list[FileDataset]) -> FloatArray:
    planes = [
        one.pixel_array.T.astype(np.float32) * np.float32(one.get("RescaleSlope", 1.0))
        + np.float32(one.get("RescaleIntercept", 0.0))
        for one in slices
    ]
    return np.stack(planes, axis=-1)
