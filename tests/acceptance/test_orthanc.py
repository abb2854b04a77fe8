"""`mri-lab` with the real Orthanc: series in, DICOM SEG out, read back by DICOMweb, checked by other people's programs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless, generate_uid

from processors.local import LocalJobContext, LocalLoadContext, run_one
from processors.mri_lab import orthanc
from processors.mri_lab.contract import MriLabInput, MriLabOutput
from processors.mri_lab.processor import MriLab
from processors.segmentation.deformation import HELD_OUT
from processors.segmentation.nifti import read_nifti
from processors.segmentation.samples import make_case, make_samples, save_case
from schemas.errors import ConnectionFailed, NotFound, StartupError, StoreUnavailable
from schemas.records import JobHeader
from tests.harness.orthanc import PASSWORD, USER, Server, dciodvfy, read, running_orthanc
from tests.harness.volumes import dicom_slices
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.accept

KOREAN = ("\\ISO 2022 IR 149", "Kim^Minsu=金^民秀=김^민수")


@dataclass(frozen=True, slots=True)
class Head:
    """`slices`: of a brain with lesions. `lesion_ml`: all that were put into it. `healthy`: the slices of one without any."""

    slices: list[FileDataset]
    lesion_ml: float
    healthy: list[FileDataset]


@dataclass(frozen=True, slots=True)
class Stored:
    """A series that was segmented, and the SEG that DICOMweb gives back."""

    series: list[FileDataset]
    output: MriLabOutput
    seg: FileDataset


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Head:
    """A real brain (MNI152) in an oblique scanner geometry, with lesions put into it."""
    folder = tmp_path_factory.mktemp("sample")
    (sample,) = make_samples(folder, 1, 7)
    save_case(make_case(HELD_OUT, [], np.random.default_rng(7)), folder / "healthy.nii.gz", folder / "truth.nii.gz")
    volume, healthy = read_nifti(sample.path), read_nifti(folder / "healthy.nii.gz")
    return Head(
        dicom_slices(volume.data.astype(np.int16), volume.affine),
        sample.lesion_ml,
        dicom_slices(healthy.data.astype(np.int16), healthy.affine),
    )


@pytest.fixture(scope="module")
def lab(server: Server) -> Iterator[MriLab]:
    with started(server) as made:
        yield made


@contextmanager
def started(server: Server, **options: str) -> Iterator[MriLab]:
    made = MriLab()
    given = {"ORTHANC_URL": server.url, "ORTHANC_USER": USER, "ORTHANC_PASSWORD": PASSWORD, **options}
    try:
        made.load(LocalLoadContext(MriLab, options=given))
        yield made
    finally:
        made.orthanc.close()


def series_of(
    slices: list[FileDataset], charset: str = "ISO_IR 100", name: str = "Doe^Jane", compressed: bool = False
) -> list[FileDataset]:
    """Return copies of the slices as a series of its own, in a study and a frame of reference of its own."""
    uids = {each: generate_uid() for each in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    made = []
    for number, one in enumerate(slices):
        copy = deepcopy(one)
        copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for keyword, uid in uids.items():
            setattr(copy, keyword, uid)
        copy.SpecificCharacterSet = charset.split("\\")
        copy.PatientName, copy.PatientID, copy.PatientBirthDate, copy.PatientSex = name, "P-1", "", ""
        copy.StudyDate, copy.StudyTime, copy.StudyID, copy.AccessionNumber = "20261128", "101500", "1", ""
        copy.ReferringPhysicianName, copy.InstanceNumber, copy.SeriesNumber = "", number + 1, 1
        if compressed:
            copy.compress(JPEG2000Lossless, generate_instance_uid=False)
        made.append(copy)
    return made


def segmented(lab: MriLab, series: str, folder: Path, job_id: str, threshold: float | None = None) -> MriLabOutput:
    header = JobHeader(job_id, "mri-lab", datetime.now(UTC), input_sha256="")
    made: MriLabOutput = run_one(lab, MriLabInput(series, threshold), folder, header=header)
    return made


def stored(server: Server, output: MriLabOutput, series: list[FileDataset], folder: Path) -> FileDataset:
    """Return the SEG that Orthanc's DICOMweb gives back, after dciodvfy has found no error in it."""
    assert output.segmentation_series_uid is not None
    assert output.segmentation_instance_uid is not None
    content = server.retrieve(
        series[0].StudyInstanceUID, output.segmentation_series_uid, output.segmentation_instance_uid
    )
    path = folder / "back.dcm"
    path.write_bytes(content)
    assert dciodvfy(path) == []
    return read(content)


def frames_of(seg: FileDataset) -> dict[tuple[float, ...], NDArray[Any]]:
    """Return the frames of a SEG by their positions in millimetres, rounded to a micrometre."""
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    places = [group.PlanePositionSequence[0].ImagePositionPatient for group in seg.PerFrameFunctionalGroupsSequence]
    return {position(place): frame for place, frame in zip(places, pixels, strict=True)}


def position(place: Any) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in place)


def volume_mm3(seg: FileDataset) -> float:
    """Return the volume as a viewer computes it, from the SEG alone."""
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    between_rows, between_columns = measures.PixelSpacing
    return float(seg.pixel_array.sum() * between_rows * between_columns * measures.SpacingBetweenSlices)


@pytest.fixture(scope="module")
def plain(server: Server, head: Head, lab: MriLab, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """An uncompressed series with a Latin name, whose files arrived last slice first."""
    folder, series = tmp_path_factory.mktemp("plain"), series_of(head.slices)
    server.send(reversed(series))
    output = segmented(lab, series[0].SeriesInstanceUID, folder, "plain")
    return Stored(series, output, stored(server, output, series, folder))


def test_a_seg_comes_back_through_dicomweb_in_the_geometry_of_its_series(plain: Stored, head: Head) -> None:
    output, seg, source = plain.output, plain.seg, plain.series[0]
    assert output.found
    assert output.lesion_volume_mm3 is not None
    assert volume_mm3(seg) == pytest.approx(output.lesion_volume_mm3, rel=0.01)
    assert output.lesion_volume_mm3 / 1000 == pytest.approx(head.lesion_ml, rel=0.3)
    assert (seg.FrameOfReferenceUID, seg.StudyInstanceUID) == (source.FrameOfReferenceUID, source.StudyInstanceUID)
    orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    assert np.allclose(orientation, source.ImageOrientationPatient, atol=1e-6)
    by_place = {position(one.ImagePositionPatient): one for one in plain.series}
    assert frames_of(seg).keys() <= by_place.keys()
    for place, group in zip(frames_of(seg), seg.PerFrameFunctionalGroupsSequence, strict=True):
        referenced = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert referenced == by_place[place].SOPInstanceUID
    print(f"\n{seg.NumberOfFrames} frames, {volume_mm3(seg):.1f} mm³; in the result {output.lesion_volume_mm3:.1f} mm³")


def test_each_frame_of_the_seg_lies_on_the_lesion_it_was_found_in(plain: Stored) -> None:
    """A mask that is turned, or whose frames are in another order, has the same volume; but it no longer lies on tissue that
    differs from the tissue round it."""
    values = {position(one.ImagePositionPatient): one.pixel_array.astype(float) for one in plain.series}
    right = contrast(frames_of(plain.seg), values)
    turned = contrast({place: frame[::-1] for place, frame in frames_of(plain.seg).items()}, values)
    print(f"\nlesions differ from the tissue round them by {right:.1f} standard deviations; turned {turned:.1f}")
    assert right > 1.0
    assert right > 1.5 * turned


def contrast(frames: dict[tuple[float, ...], NDArray[Any]], values: dict[tuple[float, ...], NDArray[Any]]) -> float:
    """Return how far the mean within the frames is from that of tissue four pixels away, in its standard deviations."""
    found = []
    for place, frame in frames.items():
        plane, inside = values[place], frame > 0
        ring = np.any([np.roll(inside, step, axis) for axis in (0, 1) for step in (-4, 4)], axis=0)
        ring &= ~inside & (plane > 0)
        if ring.any():
            found.append(abs(plane[inside].mean() - plane[ring].mean()) / plane[ring].std())
    return float(np.mean(found))


@pytest.mark.parametrize("kind", ["jpeg2000", "korean"])
def test_compressed_series_and_korean_names_go_through(
    server: Server, head: Head, lab: MriLab, plain: Stored, tmp_path: Path, kind: str
) -> None:
    charset, name = KOREAN if kind == "korean" else ("ISO_IR 100", "Doe^Jane")
    series = series_of(head.slices, charset, name, compressed=kind == "jpeg2000")
    orthanc_id = server.send(series)
    output = segmented(lab, orthanc_id, tmp_path, kind)
    seg = stored(server, output, series, tmp_path)
    assert output.lesion_volume_mm3 == plain.output.lesion_volume_mm3
    assert np.array_equal(seg.pixel_array, plain.seg.pixel_array)
    assert str(seg.PatientName) == name
    assert seg.FrameOfReferenceUID == series[0].FrameOfReferenceUID


def test_that_nothing_was_found_is_a_valid_seg(server: Server, head: Head, tmp_path: Path) -> None:
    series = series_of(head.healthy)
    server.send(series)
    with started(server, THRESHOLD="0.9999999") as careful:
        output = segmented(careful, series[0].SeriesInstanceUID, tmp_path, "nothing")
    assert (output.found, output.lesion_volume_mm3, output.lesion_count) == (False, 0.0, 0)
    seg = stored(server, output, series, tmp_path)
    assert seg.pixel_array.sum() == 0
    assert seg.FrameOfReferenceUID == series[0].FrameOfReferenceUID
    assert frames_of(seg).keys() <= {position(one.ImagePositionPatient) for one in series}


def test_a_job_that_runs_twice_stores_one_seg(server: Server, head: Head, lab: MriLab, tmp_path: Path) -> None:
    series = series_of(head.slices)
    server.send(series)
    before = len(server.instances("SEG"))
    first = segmented(lab, series[0].SeriesInstanceUID, tmp_path, "twice")
    second = segmented(lab, series[0].SeriesInstanceUID, tmp_path, "twice")
    assert first == second
    assert len(server.instances("SEG")) == before + 1


def test_a_series_that_still_arrives_is_waited_for(server: Server, head: Head, lab: MriLab, tmp_path: Path) -> None:
    series, outputs = series_of(head.slices), list[MriLabOutput]()
    server.send(series[:60])
    context = LocalJobContext(tmp_path)
    job = threading.Thread(
        target=lambda: outputs.append(run_one(lab, MriLabInput(series[0].SeriesInstanceUID), tmp_path, context))
    )
    job.start()
    wait_until(lambda: context.stages, lambda: "the job has not begun")
    server.send(series[60:])
    job.join(120)
    (output,) = outputs
    seg = stored(server, output, series, tmp_path)
    high = {position(one.ImagePositionPatient) for one in series[60:]}
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(series)
    assert high & frames_of(seg).keys(), "the second half has lesions"


def test_a_missing_series_and_a_wrong_login_are_named(server: Server, tmp_path: Path, lab: MriLab) -> None:
    with pytest.raises(NotFound, match="is not in the Orthanc"):
        segmented(lab, "1.2.3.4.5", tmp_path, "missing")
    with pytest.raises(NotFound):
        segmented(lab, "-".join(["01234567"] * 5), tmp_path, "missing")
    with pytest.raises(StartupError, match="refuses the login"), started(server, ORTHANC_PASSWORD="wrong"):
        pass


def test_a_server_that_is_away_makes_jobs_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orthanc, "FIRST_WAIT_S", 0.01)
    with running_orthanc(tmp_path / "orthanc") as server:
        pass
    # The start says so in the log, and goes on.
    with started(server) as lab, pytest.raises(StoreUnavailable, match="did not answer") as raised:
        segmented(lab, "1.2.3", tmp_path, "away")
    assert isinstance(raised.value, ConnectionFailed)
