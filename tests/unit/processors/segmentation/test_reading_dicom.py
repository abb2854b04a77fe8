"""Zips of a DICOM series: what is read from them, and what is refused with a reason that names no patient."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLossless, RLELossless, generate_uid

from processors.segmentation import dicom
from processors.segmentation.reading import read_volume
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.harness.volumes import ball, deflated, dicom_slices, file_bytes, write_dicom_zip

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


def test_by_files_that_programs_add_are_passed_over(slices: list[FileDataset], tmp_path: Path) -> None:
    names = ("DICOMDIR", "__MACOSX/IM0001", "a/.DS_Store", "._IM0001", "a/Thumbs.db")
    path = write_dicom_zip(tmp_path / "series", slices, dict.fromkeys(names, b"\0" * 200))
    assert read_volume(path).data.shape == ball().shape


WHOLE = file_bytes(dicom_slices(ball(), OBLIQUE)[-1])


@pytest.mark.parametrize(
    "content", [b"", WHOLE[:100], WHOLE[:400], WHOLE[132:400], b"notes"], ids=["empty", "100", "400", "bare", "text"]
)
def test_a_file_that_is_no_whole_image_is_refused_with_the_count(
    content: bytes, slices: list[FileDataset], tmp_path: Path
) -> None:
    """A slice that is passed over at the end of a series makes a smaller volume, and nothing else shows it."""
    path = write_dicom_zip(tmp_path / "series", slices[:-3], dict.fromkeys(("x", "y", "z"), content))
    with pytest.raises(InvalidInput, match="3 of the 40 files in the zip are no whole DICOM images"):
        read_volume(path)


@pytest.mark.parametrize("without_meta", [False, True])
def test_files_without_a_preamble_are_read(without_meta: bool, slices: list[FileDataset], tmp_path: Path) -> None:
    bare = {}
    for number, one in enumerate(slices):
        content = file_bytes(one)
        end_of_meta = 144 + int.from_bytes(content[140:144], "little")
        bare[f"IM{number}"] = content[end_of_meta if without_meta else 132 :]
    volume = read_volume(write_dicom_zip(tmp_path / "series", [], bare))
    np.testing.assert_array_equal(by_position(volume), by_position(Volume(ball().astype(np.float32), OBLIQUE)))


def test_a_series_that_says_it_has_more_files_is_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        one.NumberOfSeriesRelatedInstances = 40
    assert read_volume(write_dicom_zip(tmp_path / "series", slices)).data.shape == ball().shape
    with pytest.raises(InvalidInput, match="40 files by its own account, and 37 are in the zip"):
        read_volume(write_dicom_zip(tmp_path / "series", slices[:37]))


@pytest.mark.parametrize("empty", ["RescaleSlope", "RescaleIntercept"])
def test_an_empty_rescale_element_counts_as_absent(empty: str, slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        setattr(one, empty, None)
    assert read_volume(write_dicom_zip(tmp_path / "series", slices)).data.max() == ball().max()


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (12, 13)])
@pytest.mark.parametrize("signed", [0, 1])
def test_the_position_and_the_sign_of_the_bits_are_honoured(
    stored: int, high: int, signed: int, slices: list[FileDataset], tmp_path: Path
) -> None:
    values = ball() - (500 if signed else 0)
    for level, one in enumerate(slices):
        one.BitsStored, one.HighBit, one.PixelRepresentation = stored, high, signed
        words = (values[:, :, level].T.astype(np.int64) & 0xFFF) << (high + 1 - stored)
        others = 0xFFFF & ~(0xFFF << (high + 1 - stored))  # all set, as an overlay in the unused bits may be
        one.PixelData = np.ascontiguousarray((words | others).astype("<u2")).tobytes()
    volume = read_volume(write_dicom_zip(tmp_path / "series", slices))
    assert (volume.data.min(), volume.data.max()) == (values.min(), values.max())


def test_intensities_that_need_a_table_are_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[3].ModalityLUTSequence = Sequence([Dataset()])
    with pytest.raises(InvalidInput, match="Modality LUT"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_an_enhanced_image_is_refused_as_such(slices: list[FileDataset], tmp_path: Path) -> None:
    one = slices[0]
    one.NumberOfFrames = len(slices)
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(one, tag)
    with pytest.raises(InvalidInput, match="multi-frame"):
        read_volume(write_dicom_zip(tmp_path / "series", [one]))


def test_the_deflated_transfer_syntax_is_read(slices: list[FileDataset], tmp_path: Path) -> None:
    packed = {f"IM{number}": deflated(one) for number, one in enumerate(slices)}
    volume = read_volume(write_dicom_zip(tmp_path / "series", [], packed))
    np.testing.assert_array_equal(by_position(volume), by_position(Volume(ball().astype(np.float32), OBLIQUE)))


def test_a_file_that_inflates_beyond_the_limit_is_refused_without_inflating_it(
    slices: list[FileDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 4 << 20)
    path = write_dicom_zip(tmp_path / "series", [], {"IM": deflated(slices[0], behind=64)})
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match=r"inflates to more than \d MiB"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_files_that_inflate_beyond_the_limit_together_are_refused(
    slices: list[FileDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "MAX_UNPACKED_BYTES", 4 << 20)
    files = {f"IM{number}": deflated(one, behind=1) for number, one in enumerate(slices)}
    with pytest.raises(PayloadTooLarge, match=r"inflates to more than \d MiB"):
        read_volume(write_dicom_zip(tmp_path / "series", [], files))


def test_a_deflated_file_that_is_cut_short_is_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    path = write_dicom_zip(tmp_path / "series", [], {"IM": deflated(slices[0])[:-9]})
    with pytest.raises(InvalidInput, match="can't be read"):
        read_volume(path)


def test_a_zip_packed_with_a_large_dictionary_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "series", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("IM", WHOLE)
    with pytest.raises(InvalidInput, match="another method than deflate"):
        read_volume(tmp_path / "series")


def test_pixel_data_far_beyond_the_images_size_is_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    slices[3].PixelData = slices[3].PixelData * 4
    with pytest.raises(InvalidInput, match="far more pixel data"):
        read_volume(write_dicom_zip(tmp_path / "series", slices))


def test_run_length_compression_is_decoded(slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        one.compress(RLELossless, generate_instance_uid=False)
    volume = read_volume(write_dicom_zip(tmp_path / "series", slices))
    assert volume.data.max() == ball().max()


def test_a_compression_without_a_decoder_is_named(slices: list[FileDataset], tmp_path: Path) -> None:
    for one in slices:
        one.compress(RLELossless, generate_instance_uid=False)
        one.file_meta.TransferSyntaxUID = JPEGLossless
    with pytest.raises(InvalidInput, match=r"compressed as JPEG Lossless.*not decoded here"):
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


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "PixelSpacing", "Rows"])
def test_a_slice_without_what_geometry_needs_is_refused_by_name(
    tag: str, slices: list[FileDataset], tmp_path: Path
) -> None:
    delattr(slices[7], tag)
    with pytest.raises(InvalidInput, match=f"does not say its {tag}"):
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
