"""Reads and writes NIfTI: .nii and .nii.gz, distinguished by their first bytes, because a claim check has no file name.

The voxels are read here and not by nibabel, for three reasons: a header extension may claim any size (nibabel reads it whole),
a .nii.gz must be read to its end, where its checksum is, and voxels are converted one slice at a time.
"""

from __future__ import annotations

import contextlib
import gzip
import math
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

from processors.segmentation.volume import Affine, FloatArray, Volume, check_affine, check_data, check_shape
from schemas.errors import InvalidInput

GZIP_MAGIC = b"\x1f\x8b"
#: The first four bytes of a header, in either byte order: its own length.
#: Any: nibabel's methods carry no annotations.
_KINDS: dict[int, Any] = {348: nib.nifti1.Nifti1Image, 540: nib.nifti2.Nifti2Image}
#: Bytes that may stand before the voxels (header and its extensions), and behind them.
_MAX_BESIDE_BYTES = 1 << 20
#: Fields that say where the voxels lie: two transforms, each with a code that says which space it leads to, and the unit.
_GEOMETRY = (
    *("pixdim", "xyzt_units", "qform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "sform_code", "srow_x", "srow_y", "srow_z"),
)
#: Millimetres per unit, by the lowest three bits of xyzt_units: unknown, metre, millimetre, micrometre.
_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_SCANNER = 1
_ONE_FILE = "Send header and data in one file."
_FOREIGN = (
    *(ImageFileError, HeaderDataError, WrapStructError),
    *(OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error),
)


def looks_like_nifti(start: bytes) -> bool:
    return start[:2] == GZIP_MAGIC or _kind_of(start) is not None


def read_nifti(path: Path) -> Volume:
    """The volume in a file. The header is checked before any data is unpacked. Raises InvalidInput."""
    volume = read_mask(path)
    check_data(volume.data)
    return volume


def read_mask(path: Path) -> Volume:
    """Read a file as `read_nifti` does, but take a constant volume as well: an empty mask is one. Raises InvalidInput."""
    try:
        with _opened(path) as stream:
            return _read(stream)
    except _FOREIGN as error:
        raise InvalidInput(
            f"The NIfTI file can't be read: it is damaged or cut short ({type(error).__name__}).",
            next_step="Check the original, for a .nii.gz with `gzip -t`, and send it again.",
        ) from error


def write_mask(mask: NDArray[np.uint8], volume: Volume, path: Path, slope: float | None = None) -> None:
    """Write a .nii.gz whose bytes depend only on the mask and the volume's geometry. `slope`: the value of one step, for a file
    of fractions.

    The mask of a NIfTI file gets that file's transforms, codes and unit unchanged: programs differ in which transform they use,
    and each has to see the mask where it sees the image.
    """
    if volume.nifti_header is None:
        image = _KINDS[348](mask, volume.affine)
        image.set_sform(volume.affine, _SCANNER)
        image.set_qform(volume.affine, _SCANNER)
        image.header.set_xyzt_units("mm")
    else:
        image = _KINDS[int(volume.nifti_header["sizeof_hdr"])](mask, None)
        for field in _GEOMETRY:
            image.header[field] = volume.nifti_header[field]
    if slope is not None:
        image.header.set_slope_inter(slope, 0.0)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=3, mtime=0))


def _read(stream: BinaryIO) -> Volume:
    start = stream.read(540)
    kind = _kind_of(start)
    if kind is None:
        raise InvalidInput("The file is not NIfTI.", next_step="Send a .nii, a .nii.gz or a zip of one DICOM series.")
    # Without nibabel's checks, which mend some fields silently.
    header = kind.header_class(start[: kind.header_class.sizeof_hdr], check=False)
    shape = _check_header(header)
    affine = check_affine(_affine_mm(header))
    stream.seek(int(header["vox_offset"]))  # past extensions, whatever size they claim
    data = _read_voxels(stream, header, shape)
    if len(stream.read(_MAX_BESIDE_BYTES + 1)) > _MAX_BESIDE_BYTES:
        raise InvalidInput("The NIfTI file goes on after its voxels: its header says a wrong size of the volume.")
    return Volume(data, affine, header)


def _check_header(header: Any) -> tuple[int, int, int]:
    if header["magic"].tobytes()[:2] == b"ni":
        raise InvalidInput("The file is the .hdr of a pair: its voxels are in another file.", next_step=_ONE_FILE)
    if header["magic"].tobytes()[:2] != b"n+":
        raise InvalidInput("The file is damaged, or Analyze 7.5, which has no sides: left and right are unknown.")
    shape = check_shape(header.get_data_shape())
    voxel = header.get_data_dtype()
    if voxel.kind not in "iuf" or voxel.itemsize > 8:
        raise InvalidInput(f"Voxels of type {voxel} are not intensities.")
    # Compared as it is: it may be a fraction, NaN or infinite.
    if not header.sizeof_hdr <= header["vox_offset"] <= _MAX_BESIDE_BYTES:
        raise InvalidInput("The NIfTI file has its data elsewhere.", next_step=_ONE_FILE)
    return shape


def _affine_mm(header: Any) -> Affine:
    """The transform from voxels to millimetres: sform if there is one, else qform, else the voxels' sizes alone."""
    unit = int(header["xyzt_units"]) & 7
    if unit not in _UNITS_MM:
        raise InvalidInput(f"The NIfTI header has an unknown unit of length ({unit}).")
    sizes = header["pixdim"][1:4]
    if header["sform_code"] <= 0 and not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InvalidInput("The NIfTI header does not say how large the voxels are (pixdim).")
    affine: Affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= _UNITS_MM[unit]
    return affine


def _read_voxels(stream: BinaryIO, header: Any, shape: tuple[int, int, int]) -> FloatArray:
    """Read and scale one slice after the other: in memory there is never more than the result and one slice."""
    voxel = header.get_data_dtype()
    slope, intercept = header.get_slope_inter()
    data: FloatArray = np.empty(shape, dtype=np.float32, order="F")
    size = math.prod(shape[:2]) * voxel.itemsize
    for level in range(shape[2]):
        content = stream.read(size)
        if len(content) < size:
            raise EOFError
        plane = np.frombuffer(content, dtype=voxel).reshape(shape[:2], order="F")
        with np.errstate(over="ignore", invalid="ignore"):  # a value that overflows becomes infinite and is refused
            data[..., level] = plane if slope is None else plane.astype(np.float64) * slope + intercept
    return data


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
