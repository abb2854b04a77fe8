"""NIfTI files: what is read from them, and what is refused with a reason."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from processors.segmentation.nifti import write_mask
from processors.segmentation.reading import read_volume
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.harness.volumes import ball, nifti, write_nifti

TURNED = np.array([[0.0, -1.1, 0.0, 10.0], [0.9, 0.0, 0.0, -20.0], [0.0, 0.0, 1.0, 5.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_is_known_by_its_bytes_and_not_by_its_name(suffix: str, tmp_path: Path) -> None:
    named = write_nifti(tmp_path / f"volume{suffix}", ball(), TURNED)
    volume = read_volume(named.rename(tmp_path / "9f86d081"))
    np.testing.assert_array_equal(volume.data, ball())
    np.testing.assert_allclose(volume.affine, TURNED, atol=1e-6)
    np.testing.assert_allclose(volume.spacing, [0.9, 1.1, 1.0], atol=1e-6)
    assert volume.voxel_mm3 == pytest.approx(0.99)


def test_a_second_version_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii"
    nib.nifti2.Nifti2Image(ball(), TURNED).to_filename(path)  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(read_volume(path).data, ball())


def test_a_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball()[..., None])
    assert read_volume(path).data.shape == ball().shape


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_volume_with_nan_or_infinity_is_refused(value: float, tmp_path: Path) -> None:
    data = ball().astype(np.float32)
    data[3, 4, 5] = data[6, 7, 8] = value
    with pytest.raises(InvalidInput, match="2 voxels that are NaN or infinite"):
        read_volume(write_nifti(tmp_path / "volume.nii.gz", data))


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_volume_is_refused(value: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="constant"):
        read_volume(write_nifti(tmp_path / "volume.nii", np.full((10, 10, 10), value, dtype=np.int16)))


def test_a_time_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="4 axes"):
        read_volume(write_nifti(tmp_path / "volume.nii", np.stack([ball(), ball()], -1)))


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="too thin"):
        read_volume(write_nifti(tmp_path / "volume.nii", ball()[:, :, :1]))


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((10, 10, 10), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InvalidInput, match="are not intensities"):
        read_volume(write_nifti(tmp_path / "volume.nii", colours))


def test_an_absurd_size_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii.gz"
    header = bytearray(nifti.Nifti1Image(ball(), np.eye(4)).to_bytes()[:352])
    struct.pack_into("<4h", header, 40, 3, 30_000, 30_000, 30_000)
    path.write_bytes(gzip.compress(bytes(header)))
    with pytest.raises(PayloadTooLarge, match="at most 64,000,000"):
        read_volume(path)


def test_an_unknown_type_of_voxel_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball())
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 70, 12345)  # datatype
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged"):
        read_volume(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    for name in ("volume.nii", "volume.nii.gz"):
        path = write_nifti(tmp_path / name, ball())
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(InvalidInput, match="damaged or cut short"):
            read_volume(path)


def test_a_geometry_that_can_not_be_inverted_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball(), TURNED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<4f", content, 312, 0.0, 0.0, 0.0, 0.0)  # srow_z
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="geometry"):
        read_volume(path)


def test_voxels_that_no_scanner_makes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="50 x 1 x 1 mm"):
        read_volume(write_nifti(tmp_path / "volume.nii", ball(), np.diag([50.0, 1.0, 1.0, 1.0])))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 600])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "volume.nii"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="neither NIfTI nor a zip"):
        read_volume(path)


def test_a_gzip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 500))
    with pytest.raises(InvalidInput, match="is not NIfTI"):
        read_volume(path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Unknown kind 'jpeg'"):
        read_volume(write_nifti(tmp_path / "volume.nii", ball()), "jpeg")


def test_a_mask_file_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    mask = (ball() > 600).astype(np.uint8)
    for name in ("one", "two"):
        write_mask(mask, TURNED, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back = nifti.Nifti1Image.from_bytes(gzip.decompress((tmp_path / "one").read_bytes()))
    np.testing.assert_array_equal(np.asarray(back.dataobj), mask)
    np.testing.assert_allclose(back.affine, TURNED, atol=1e-6)
