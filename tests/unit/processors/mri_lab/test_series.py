"""Series in a folder: what is read, what is refused, and the DICOM SEG that is written for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless, generate_uid

from processors.mri_lab.dicom_seg import SegUids, write_seg
from processors.mri_lab.series import Series, read_series
from schemas.errors import InvalidInput
from tests.harness.volumes import ball, dicom_slices, file_bytes

SHAPE = (40, 36, 10)
OBLIQUE = np.array([[0.9, 0.1, 0.0, 12.0], [-0.1, 0.9, 0.0, -30.0], [0.0, 0.0, 1.5, 44.0], [0.0, 0.0, 0.0, 1.0]])
KOREAN = "Kim^Minsu=金^民秀=김^민수"
UIDS = SegUids.of("job", 0)


@pytest.fixture
def slices() -> list[FileDataset]:
    made = dicom_slices(ball(SHAPE, 4.0), OBLIQUE)
    study, frame = generate_uid(), generate_uid()
    for one in made:
        one.StudyInstanceUID, one.FrameOfReferenceUID, one.PatientID = study, frame, "P-1"
    return made


def written(slices: list[FileDataset], folder: Path) -> list[Path]:
    """Write the slices in an order that says nothing: every seventh, round and round."""
    paths = []
    for number, one in enumerate(slices):
        path = folder / f"{number * 7 % len(slices):03d}.dcm"
        path.write_bytes(file_bytes(one))
        paths.append(path)
    return sorted(paths)


def seg_of(mask: np.ndarray, series: Series, folder: Path, uids: SegUids = UIDS) -> FileDataset:
    path = folder / "seg.dcm"
    write_seg(mask, series.headers, uids, path, model="1.0", model_sha256="ab" * 32)
    return pydicom.dcmread(path)


def test_a_mask_comes_back_in_the_slices_geometry(slices: list[FileDataset], tmp_path: Path) -> None:
    series = read_series(written(slices, tmp_path))
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:9, 11:20, 3:6] = 1
    seg = seg_of(mask, series, tmp_path)
    assert seg.NumberOfFrames == 3
    levels = {one.SOPInstanceUID: level for level, one in enumerate(slices)}
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        (referenced,) = group.DerivationImageSequence[0].SourceImageSequence
        level = levels.pop(referenced.ReferencedSOPInstanceUID)
        place = group.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(place, slices[level].ImagePositionPatient, atol=1e-6)
        assert np.array_equal(frame, mask[:, :, level].T)
        assert 3 <= level < 6
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert np.allclose(orientation, slices[0].ImageOrientationPatient, atol=1e-6)
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == pytest.approx(1.5)
    assert (seg.FrameOfReferenceUID, seg.StudyInstanceUID) == (
        slices[0].FrameOfReferenceUID,
        slices[0].StudyInstanceUID,
    )


def test_a_distance_between_slices_that_a_scanner_got_wrong_is_measured(
    slices: list[FileDataset], tmp_path: Path
) -> None:
    for one in slices:
        one.SpacingBetweenSlices, one.SliceThickness = 9.0, 3.0
    seg = seg_of(np.ones(SHAPE, np.uint8), read_series(written(slices, tmp_path)), tmp_path)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(1.5)
    assert float(measures.SliceThickness) == 3.0


def test_that_nothing_was_found_is_a_seg_of_empty_frames(slices: list[FileDataset], tmp_path: Path) -> None:
    seg = seg_of(np.zeros(SHAPE, np.uint8), read_series(written(slices, tmp_path)), tmp_path)
    assert seg.NumberOfFrames == SHAPE[2]
    assert seg.pixel_array.sum() == 0


def test_a_korean_name_is_kept_and_no_log_shows_it(
    slices: list[FileDataset], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for one in slices:
        one.SpecificCharacterSet, one.PatientName = ["", "ISO 2022 IR 149"], KOREAN
    with caplog.at_level(logging.DEBUG):
        seg = seg_of(np.ones(SHAPE, np.uint8), read_series(written(slices, tmp_path)), tmp_path)
    assert (seg.PatientName, seg.SpecificCharacterSet) == (KOREAN, "ISO_IR 192")
    assert "Kim" not in caplog.text + "".join(capfd.readouterr())


def test_jpeg_2000_slices_are_the_slices_they_were(slices: list[FileDataset], tmp_path: Path) -> None:
    plain = read_series(written(slices, tmp_path))
    for one in slices:
        one.compress(JPEG2000Lossless, generate_instance_uid=False)
    packed = read_series(written(slices, tmp_path))
    np.testing.assert_array_equal(packed.volume.data, plain.volume.data)


def test_a_job_and_run_have_uids_of_their_own() -> None:
    assert SegUids.of("job", 0) == UIDS
    assert len({SegUids.of("job", 0), SegUids.of("job", 1), SegUids.of("job2", 0)}) == 3
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in map(pydicom.uid.UID, (UIDS.instance, UIDS.series)))


def change(keyword: str, value: object, which: slice = slice(4, 5)) -> Callable[[list[FileDataset]], None]:
    def changed(slices: list[FileDataset]) -> None:
        for one in slices[which]:
            setattr(one, keyword, value)

    return changed


def drop(slices: list[FileDataset]) -> None:
    del slices[7]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (drop, "not evenly spaced"),
        (change("ImagePositionPatient", [12.0, -30.0, 44.0], slice(0, 3)), "same place"),
        (change("ImageOrientationPatient", [1, 0, 0, 0, 0, 1]), "differ in size"),
        (change("NumberOfFrames", 2), "multi-frame"),
        (change("Modality", "CT"), "no MR series"),
        (change("FrameOfReferenceUID", generate_uid()), "2 frames of reference"),
        (change("FrameOfReferenceUID", "", slice(None)), "no frame of reference"),
        (change("StudyInstanceUID", "", slice(None)), "name no study"),
        (change("PixelData", b""), "can't be read"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_series_that_is_no_volume_is_refused_by_name(
    slices: list[FileDataset], tmp_path: Path, broken: Callable[[list[FileDataset]], None], said: str
) -> None:
    broken(slices)
    with pytest.raises(InvalidInput, match=said) as refused:
        seg_of(np.ones(SHAPE, np.uint8), read_series(written(slices, tmp_path)), tmp_path)
    assert "Doe" not in str(refused.value)


def test_files_that_are_no_images_are_refused(slices: list[FileDataset], tmp_path: Path) -> None:
    paths = written(slices, tmp_path)
    paths[3].write_bytes(paths[3].read_bytes()[:700])
    with pytest.raises(InvalidInput):
        read_series(paths)
    paths[3].write_bytes(b"")
    with pytest.raises(InvalidInput):
        read_series(paths)
    with pytest.raises(InvalidInput, match="no files"):
        read_series([])
