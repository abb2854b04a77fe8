"""Makes the files that the tests send: NIfTI in any geometry, and zips of a DICOM series of the same voxels."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

nifti: Any = nib.nifti1

Array = NDArray[Any]


def ball(shape: tuple[int, int, int] = (48, 44, 40), radius: float = 15.0) -> NDArray[np.int16]:
    """A bright ball of uneven voxels off the middle, zero outside: as little as passes for a brain."""
    points = np.stack(np.meshgrid(*(np.arange(side) for side in shape), indexing="ij"), -1)
    inside = np.linalg.norm(points - np.array(shape) / 2 + (2, 1, 0), axis=-1) < radius
    uneven = np.random.default_rng(3).integers(500, 1000, shape)
    return np.where(inside, uneven, 0).astype(np.int16)


def write_nifti(path: Path, data: Array, affine: Array | None = None) -> Path:
    nifti.Nifti1Image(data, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def dicom_slices(data: NDArray[np.int16], affine: Array) -> list[FileDataset]:
    """Return one data set per slice along the third axis; `affine` counts to R-A-S, DICOM to L-P-S."""
    to_patient = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(to_patient[:3, :3], axis=0)
    series = generate_uid()
    return [_dicom_slice(data[:, :, level].T, level, to_patient, spacing, series) for level in range(data.shape[2])]


def _dicom_slice(plane: Array, level: int, to_patient: Array, spacing: Array, series: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    one.SeriesInstanceUID, one.Modality, one.PatientName = series, "MR", "Doe^Jane"
    one.Rows, one.Columns = plane.shape
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelSpacing = [_short(spacing[1]), _short(spacing[0])]
    directions = (to_patient[:3, :2] / spacing[:2]).T.ravel()
    one.ImageOrientationPatient = [_short(value) for value in directions]
    one.ImagePositionPatient = [_short(value) for value in to_patient[:3, 3] + level * to_patient[:3, 2]]
    one.PixelData = np.ascontiguousarray(plane, dtype="<i2").tobytes()
    return one


def write_dicom_zip(path: Path, slices: list[FileDataset], others: dict[str, bytes] | None = None) -> Path:
    """The slices, last first, and other files beside them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, one in enumerate(reversed(slices)):
            archive.writestr(f"../IM{number:04d}", file_bytes(one))
        for name, other in (others or {}).items():
            archive.writestr(name, other)
    return path


def file_bytes(one: FileDataset) -> bytes:
    """A data set as a file: preamble, meta data, data set."""
    content = io.BytesIO()
    pydicom.dcmwrite(content, one, enforce_file_format=True)
    return content.getvalue()


def _short(value: float) -> float:
    """DICOM's decimal strings have sixteen characters."""
    return float(f"{value:.8f}")


def deflated(one: FileDataset, behind: int = 0) -> bytes:
    """The file in the deflated transfer syntax; `behind`: MiB of zeros in an element before the pixels."""
    content = file_bytes(one)
    end = 144 + int.from_bytes(content[140:144], "little")
    meta = content[:end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    grown = len(meta) - end
    meta = meta.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
    meta = meta[:140] + (int.from_bytes(meta[140:144], "little") + grown).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [meta]
    if behind:
        parts.append(packer.compress(struct.pack("<HH2sHI", 0x0007, 0x1010, b"OB", 0, behind << 20)))
        parts += [packer.compress(bytes(1 << 20)) for _ in range(behind)]
    return b"".join([*parts, packer.compress(content[end:]), packer.flush()])
