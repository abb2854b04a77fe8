"""Zips of a DICOM series: what is read from them, and what is refused with a reason that names no patient."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import JPEGLSLossless, RLELossless, generate_uid

from processors.segmentation import dicom
from processors.segmentation.reading import read_volume
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.harness.volumes import ball, dicom_slices, write_dicom_zip

OBLIQUE = np.array([[0.9, 0.1, 0.0, 12.0], [-0.09, 1.0, 0.1, -30.0], [0.0, -0.1, 1.1, 44.0], [0.0, 0.0, 0.0, 1.0]])
OBLIQUE[:3, 2] = np.cross(OBLIQUE[:3, 0], OBLIQUE[:3, 1])


@pytest.fixture
def slices() -> list[FileDataset]:
    return dicom_slices(ball(), OBLIQUE)


def by_position(volume: Volume) -> np.ndarray:
    """The voxels in R-A-S order, so that volumes stored along other axes compare."""
    image = nib.nifti1.Nifti1Image(volume.data, volume.affine)  # type: ignore[no-untyped-call]
    return np.asarray(nib.funcs.as_closest_canonical(image).dataobj)  # type: ignore[no-untyped-call]


def test_a_series_gives_the_volume_it_was_made_from(slices: list[FileDataset], tmp_path: Path) -> None:
    volume = read_volume(write_dicom_zip(tmp_path / "series", slices))
    original = Volume(ball().astype(np.float32), OBLIQUE)
    np.testing.assert_array_equal(by_position(volume), by_position(original))
    assert volume.voxel_mm3 == pytest.approx(original.voxel_mm3, rel=1e-5)


def test_voxels_lie_where_the_scanner_says(slices: list[FileDataset], tmp_path: Path) -> None:
    volume = read_volume(write_dicom_zip(tmp_path / "series", slices))
    brightest = np.argwhere(volume.data == volume.data.max())
    there = {tuple((volume.affine @ [*voxel, 1.0])[:3].round(2)) for voxel in brightest}
    expected = {tuple((OBLIQUE @ [*voxel, 1.0])[:3].round(2)) for voxel in np.argwhere(ball() == ball().max())}
    assert there == expected


def test_rescaling_is_applied(slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        one.RescaleSlope, one.RescaleIntercept = 2.0, -10.0
    volume = read_volume(write_dicom_zip(tmp_path / "series", slices))
    assert (volume.data.min(), volume.data.max()) == (-10.0, 2.0 * ball().max() - 10.0)


def test_other_files_in_the_zip_are_passed_over(slices: list[FileDataset], tmp_path: Path) -> None:
    path = write_dicom_zip(tmp_path / "series", slices, {"README.txt": b"notes", "__MACOSX/._IM0001": b"\0" * 200})
    assert read_volume(path).data.shape == ball().shape


def test_run_length_compression_is_decoded(slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        one.compress(RLELossless, generate_instance_uid=False)
    volume = read_volume(write_dicom_zip(tmp_path / "series", slices))
    assert volume.data.max() == ball().max()


def test_a_compression_without_a_decoder_is_named(slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        one.compress(RLELossless, generate_instance_uid=False)
        one.file_meta.TransferSyntaxUID = JPEGLSLossless
    with pytest.raises(InvalidInput, match=r"compressed as JPEG-LS Lossless.*not decoded here"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_two_series_are_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[5].SeriesInstanceUID = generate_uid()
    with pytest.raises(InvalidInput, match="2 series"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_a_missing_slice_is_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    del slices[20]
    with pytest.raises(InvalidInput, match="not evenly spaced: 1 of 38 gaps"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_a_slice_sent_twice_is_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="same place"):
        read_volume(write_dicom_zip(tmp_path / "series", [*slices, slices[4]]))


def test_slices_of_another_plane_are_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[3].ImageOrientationPatient = [1, 0, 0, 0, 0, 1]
    with pytest.raises(InvalidInput, match="not one volume"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_colour_images_are_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[0].PhotometricInterpretation = "MONOCHROME1"
    with pytest.raises(InvalidInput, match="single grey slices"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "PixelSpacing", "SeriesInstanceUID", "Rows"])
def test_a_slice_without_what_geometry_needs_is_refused(tag: str, slices: list[FileDataset], tmp_path: Path) -> None:
    delattr(slices[7], tag)
    with pytest.raises(InvalidInput, match="can't be read"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_pixels_cut_short_are_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[7].PixelData = slices[7].PixelData[:100]
    with pytest.raises(InvalidInput, match="can't be read"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_no_refusal_names_the_patient(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[7].PixelSpacing = None
    with pytest.raises(InvalidInput) as refusal:
        read_volume(write_dicom_zip(tmp_path / "series", slices))
    assert "Doe" not in str(refusal.value)


def test_a_zip_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="None of the 1 files"):
        read_volume(write_dicom_zip(tmp_path / "series", [], {"notes.txt": b"hello"}))


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("IM", "w") as member,
    ):
        block = b"\0" * (64 << 20)
        for _ in range(17):
            member.write(block)
    assert path.stat().st_size < 16 << 20
    with pytest.raises(PayloadTooLarge, match="too large"):
        read_volume(path)


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch, slices: list[FileDataset], tmp_path: Path) -> None:
    monkeypatch.setattr(dicom, "MAX_FILES", 10)
    with pytest.raises(PayloadTooLarge, match="at most 10 files"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_a_damaged_zip_is_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    path = write_dicom_zip(tmp_path / "series", slices)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InvalidInput, match="can't be read"):
        read_volume(path)
