"""A zip of one DICOM series, as a volume.

Only the tags that geometry and pixels need are read, nothing is unpacked to disk, and no message repeats a value or a name from
the zip: it could be about a patient. Every file in the zip must be a whole image of the series, because a slice that is passed
over is a silently wrong volume. Names are only compared with those of by-files that programs add.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from processors.segmentation.deflated import inflated_files
from processors.segmentation.volume import Affine, FloatArray, Volume, check_affine, check_data, check_shape
from schemas.errors import InvalidInput, PayloadTooLarge

# Values that break the standard are dealt with here; pydicom's warnings would print them.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

ZIP_MAGIC = b"PK\x03\x04"
MAX_FILES = 2048
MAX_UNPACKED_BYTES = 1 << 30
#: A file in the deflated transfer syntax may inflate to this size; the largest slice that is read takes half of it.
MAX_INFLATED_BYTES = 64 << 20
#: Files and folders that programs add to a series; a name that begins with `._` is another.
_BY_FILES = frozenset({"DICOMDIR", "__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})
#: Bytes of pixel data beyond what an image's size needs.
_MAX_PADDING = 4096
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
    *("HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PixelData"),
    "NumberOfSeriesRelatedInstances",
]
_PLACE = ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
#: What pydicom, zipfile and the decoders raise for damaged files.
FOREIGN = (
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
        OverflowError,
    ),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, InvalidDicomError),
)


def read_dicom_zip(path: Path) -> Volume:
    """The volume of the one series in the zip. Raises InvalidInput, PayloadTooLarge."""
    try:
        return volume_of(_read_slices(path))[0]
    except FOREIGN as error:
        raise InvalidInput(
            f"The zip of DICOM files can't be read: damaged, or no MR series ({type(error).__name__})."
        ) from error


def volume_of(slices: list[FileDataset]) -> tuple[Volume, list[int]]:
    """Return the volume of one series, and for each slice along its third axis the index in `slices`.

    Raises InvalidInput, PayloadTooLarge; one of FOREIGN for a damaged slice.
    """
    _check_one_series(slices)
    order, affine = _geometry(slices)
    return Volume(check_data(_stack([slices[index] for index in order])), check_affine(affine)), order


def within_limits(contents: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the files of a series, which have `size` bytes together, without the deflated transfer syntax.

    Raises PayloadTooLarge; one of FOREIGN for a damaged file.
    """
    return inflated_files(contents, MAX_INFLATED_BYTES, MAX_UNPACKED_BYTES - size)


def _read_slices(path: Path) -> list[FileDataset]:
    """Every file in the zip but known by-files; each must be a whole DICOM image."""
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and not _is_by_file(member.filename)]
        _check_members(members)
        size = sum(member.file_size for member in members)
        files = within_limits((archive.read(member) for member in members), size)
        slices = [one for file in files if (one := read_slice(file)) is not None]
    if not slices:
        raise InvalidInput(f"None of the {len(members)} files in the zip is a DICOM image.")
    if len(slices) < len(members):
        raise InvalidInput(
            f"{len(members) - len(slices)} of the {len(members)} files in the zip are no whole DICOM images.",
            next_step="Send the files of one series only, each complete.",
        )
    return slices


def _is_by_file(name: str) -> bool:
    parts = name.split("/")
    return parts[-1].startswith("._") or not _BY_FILES.isdisjoint(parts)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Check what the zip says of its files, before any is unpacked."""
    if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise PayloadTooLarge(
            f"The zip is too large: at most {MAX_FILES} files and {MAX_UNPACKED_BYTES >> 20} MiB unpacked."
        )
    if any(member.flag_bits & 1 for member in members):
        raise InvalidInput("The zip is encrypted.", next_step="Send it without a password.")
    # The other methods may ask for gigabytes of memory for a dictionary.
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise InvalidInput("The zip is packed by another method than deflate.", next_step="Pack it as a plain zip.")


def read_slice(content: bytes) -> FileDataset | None:
    """Return the image in a file that `within_limits` yielded; None if there is no whole one. Only the elements that geometry
    and pixels need are read; the 132 bytes before the data set may be missing. Raises one of FOREIGN for a damaged file."""
    bare = content[128:132] != b"DICM"
    if bare and content[:2] not in (b"\2\0", b"\x08\0"):  # the first group: of the file's meta data, of the image
        return None
    one = pydicom.dcmread(io.BytesIO(content), force=bare, specific_tags=list(_NEEDED))
    if "PixelData" not in one:
        return None
    if "TransferSyntaxUID" not in one.file_meta:
        implicit, little = one.original_encoding
        if implicit is None or not little:
            return None
        one.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return one


def _check_one_series(slices: list[FileDataset]) -> None:
    """Check for one whole series of single grey slices of one size and orientation, in a format that can be decoded here."""
    series = {str(one.SeriesInstanceUID) for one in slices}
    if len(series) > 1:
        raise InvalidInput(f"The zip holds {len(series)} series.", next_step="Send one series a job.")
    for one in slices:
        _check_slice(one)
        if missing := [tag for tag in _PLACE if one.get(tag) is None]:
            raise InvalidInput(f"A slice does not say its {missing[0]}, which its place in the volume follows from.")
    first = slices[0]
    check_shape((int(first.Columns), int(first.Rows), len(slices)))
    for one in slices:
        if (one.Rows, one.Columns) != (first.Rows, first.Columns) or not _same_plane(one, first):
            raise InvalidInput("The slices differ in size, pixel spacing or orientation: they are not one volume.")
    said = {int(one.NumberOfSeriesRelatedInstances) for one in slices if one.get("NumberOfSeriesRelatedInstances")}
    if said - {len(slices)}:
        raise InvalidInput(f"The series has {max(said)} files by its own account, and {len(slices)} are in the zip.")


def _check_slice(one: FileDataset) -> None:
    """Refuse by name whatever would need another reading than one grey value per pixel on a straight scale."""
    if int(one.get("NumberOfFrames") or 1) != 1 or ("ImagePositionPatient" not in one and "NumberOfFrames" in one):
        raise InvalidInput(
            "The series is a multi-frame image (enhanced MR); single grey slices are needed.",
            next_step="Convert it to NIfTI, for example with dcm2niix, or export one file per slice.",
        )
    if one.SamplesPerPixel != 1 or one.PhotometricInterpretation != "MONOCHROME2":
        raise InvalidInput("The series has colour or inverted images; single grey slices are needed.")
    if one.get("ModalityLUTSequence"):
        raise InvalidInput("The series scales its intensities by a table (Modality LUT), which is not read here.")
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


def _geometry(slices: list[FileDataset]) -> tuple[list[int], Affine]:
    """Indices of the slices in order along their normal, and the affine from (column, row, slice) to R-A-S millimetres."""
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
    return order.tolist(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


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
    return np.stack([_plane(one) for one in slices], axis=-1)


def _plane(one: FileDataset) -> FloatArray:
    """The intensities, by column and row. An empty rescale element counts as absent."""
    slope, intercept = one.get("RescaleSlope"), one.get("RescaleIntercept")
    scale, offset = (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))
    plane: FloatArray = _stored_values(one).T.astype(np.float32) * np.float32(scale) + np.float32(offset)
    return plane


def _stored_values(one: FileDataset) -> NDArray[Any]:
    """The pixels' values: `BitsStored` bits of each word, the highest is `HighBit`. The others may hold anything."""
    allocated, stored, high = int(one.BitsAllocated), int(one.BitsStored), int(one.HighBit)
    if not 0 < stored <= high + 1 <= allocated:
        raise InvalidInput(f"The images' bits do not fit: {stored} stored up to bit {high} of {allocated}.")
    syntax = one.file_meta.TransferSyntaxUID
    size = one.Rows * one.Columns * (allocated // 8)
    if len(one.PixelData) > size * (2 if syntax.is_encapsulated else 1) + _MAX_PADDING:
        raise InvalidInput("The images have far more pixel data than their size says.")
    one.pixel_array_options(correct_unused_bits=False, allow_excess_frames=False)
    values: NDArray[Any] = one.pixel_array
    if stored == allocated or (syntax.is_encapsulated and syntax != RLELossless):  # a decoder gives values, not words
        return values
    # To the top of the word and down again: this drops the bits above and below, and keeps the sign.
    return (values << (allocated - 1 - high)) >> (allocated - stored)
