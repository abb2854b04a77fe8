"""Reads and writes NIfTI: .nii and .nii.gz, distinguished by their first bytes, because a claim check has no file name."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from processors.segmentation.volume import Affine, Volume, check_affine, check_data, check_shape
from schemas.errors import InvalidInput

GZIP_MAGIC = b"\x1f\x8b"
#: The first four bytes of a header, in either byte order: its own length.
#: Any: nibabel's methods carry no annotations.
_KINDS: dict[int, Any] = {348: nib.nifti1.Nifti1Image, 540: nib.nifti2.Nifti2Image}
_MAX_HEADER_BYTES = 1 << 20
_FOREIGN = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, KeyError, zlib.error)


def looks_like_nifti(start: bytes) -> bool:
    return start[:2] == GZIP_MAGIC or _kind_of(start) is not None


def read_nifti(path: Path) -> Volume:
    """The volume in a file. The header is checked before any data is unpacked. Raises InvalidInput."""
    try:
        with _opened(path) as stream:
            return _read(stream)
    except _FOREIGN as error:
        raise InvalidInput(
            f"The NIfTI file can't be read: it is damaged or cut short ({type(error).__name__})."
        ) from error


def write_mask(mask: NDArray[np.uint8], affine: Affine, path: Path) -> None:
    """Write a .nii.gz whose bytes depend only on the mask and its geometry."""
    image = _KINDS[348](mask, affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=3, mtime=0))


def _read(stream: BinaryIO) -> Volume:
    start = stream.read(540)
    kind = _kind_of(start)
    if kind is None:
        raise InvalidInput("The file is not NIfTI.", next_step="Send a .nii, a .nii.gz or a zip of one DICOM series.")
    header = kind.header_class.from_fileobj(io.BytesIO(start), check=False)
    _check_header(header)
    stream.seek(0)
    image = kind.from_stream(stream)
    affine = check_affine(np.asarray(image.affine, dtype=np.float64))
    with np.errstate(over="ignore", invalid="ignore"):  # a value that overflows becomes infinite and is refused
        data = np.asarray(image.dataobj, dtype=np.float32)
    return Volume(check_data(data.reshape(data.shape[:3])), affine)


def _check_header(header: Any) -> None:
    check_shape(header.get_data_shape())
    if header.get_data_dtype().kind not in "iuf":
        raise InvalidInput(f"Voxels of type {header.get_data_dtype()} are not intensities.")
    if not header.is_single or header["vox_offset"] > _MAX_HEADER_BYTES:
        raise InvalidInput("The NIfTI file has its data elsewhere.", next_step="Send header and data in one file.")


def _kind_of(start: bytes) -> Any:
    return _KINDS.get(int.from_bytes(start[:4], "little")) or _KINDS.get(int.from_bytes(start[:4], "big"))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield raw
