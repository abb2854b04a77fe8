"""The processor from a series to the object it stores, with an Orthanc whose answers the test sets."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from processors.local import LocalJobContext, LocalLoadContext, run_one
from processors.mri_lab import orthanc, processor
from processors.mri_lab.contract import MriLabInput, MriLabOutput
from processors.mri_lab.dicom_seg import SegUids
from processors.mri_lab.processor import MriLab
from processors.segmentation.volume import FloatArray, Volume
from schemas.errors import ConnectionFailed, InvalidInput, JobCancelled, StartupError
from schemas.records import JobHeader
from tests.harness.volumes import ball, dicom_slices, file_bytes
from tests.unit.processors.mri_lab.fake_orthanc import ID, FakeOrthanc, serving


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the network, whose library takes seconds to import: the brighter a voxel, the more lesion, up to 0.9."""

    def segment(_: object, volume: Volume, before_window: Callable[[], None]) -> FloatArray:
        before_window()
        bright: FloatArray = (0.9 * volume.data / volume.data.max()).astype(np.float32)
        return bright

    monkeypatch.setattr(processor, "load_model", lambda ctx: SimpleNamespace(sha256="ab" * 32, peak=0.0))
    monkeypatch.setattr(processor, "segment", segment)


@pytest.fixture(scope="module")
def slices() -> list[FileDataset]:
    made = dicom_slices(ball(), np.eye(4))
    study, frame = generate_uid(), generate_uid()
    for one in made:
        one.StudyInstanceUID, one.FrameOfReferenceUID = study, frame
    return made


@pytest.fixture
def fake(slices: list[FileDataset], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOrthanc]:
    """An Orthanc that has the slices as a stable series, and takes one object."""
    monkeypatch.setattr(orthanc, "FIRST_WAIT_S", 0.001)
    made = FakeOrthanc()
    made.series(True, instances=tuple(str(number) for number in range(len(slices))))
    for number, one in enumerate(slices):
        made.says(f"GET /instances/{number}/file", (200, file_bytes(one)))
    made.says("GET /system", {})
    made.says("POST /tools/lookup", [], [{"ID": "seg", "Type": "Instance"}])
    made.says("POST /dicom-web/studies", {"00081198": {"vr": "SQ"}})
    with serving(made) as running:
        yield running


@contextmanager
def started(fake: FakeOrthanc, **options: str) -> Iterator[MriLab]:
    made = MriLab()
    made.load(LocalLoadContext(MriLab, options={"ORTHANC_URL": fake.url, **options}))
    try:
        yield made
    finally:
        made.orthanc.close()


def run(
    lab: MriLab, folder: Path, threshold: float | None = None, context: LocalJobContext | None = None
) -> MriLabOutput:
    header = JobHeader("job", "mri-lab", datetime.now(UTC), input_sha256="", run=2)
    made: MriLabOutput = run_one(lab, MriLabInput(ID, threshold), folder, context, header)
    return made


def test_the_mask_of_a_series_is_stored_and_measured(fake: FakeOrthanc, tmp_path: Path) -> None:
    with started(fake, THRESHOLD="0.701") as lab:
        context = LocalJobContext(tmp_path)
        output = run(lab, tmp_path, context=context)
    (body,) = fake.bodies["POST /dicom-web/studies"]
    seg = pydicom.dcmread(io.BytesIO(body.partition(b"\r\n\r\n")[2]))
    uids = SegUids.of("job", 2)
    assert (seg.SOPInstanceUID, seg.SeriesInstanceUID) == (uids.instance, uids.series)
    assert (output.segmentation_instance_uid, output.segmentation_series_uid) == (uids.instance, uids.series)
    assert (output.orthanc_id, output.found, output.threshold, output.device) == ("seg", True, 0.701, "cpu")
    assert output.lesion_volume_mm3 == int((0.9 * ball() / ball().max() > 0.701).sum()) == seg.pixel_array.sum()
    assert {"fetching", "segmenting", "storing"} <= set(context.stages)


def test_a_jobs_own_threshold_goes_before_the_machines(fake: FakeOrthanc, tmp_path: Path) -> None:
    with started(fake, THRESHOLD="0.000001") as lab:
        output = run(lab, tmp_path, threshold=0.95)
        assert (output.found, output.lesion_volume_mm3, output.report) == (False, 0.0, "No lesion was found.")
        with pytest.raises(InvalidInput, match="probability"):
            run(lab, tmp_path, threshold=1.5)


def test_a_series_that_changed_meanwhile_is_tried_again(fake: FakeOrthanc, tmp_path: Path) -> None:
    whole = fake.answers[f"GET /series/{ID}"]
    fake.series(True, instances=("0", "1"))
    fake.answers[f"GET /series/{ID}"] += whole
    with started(fake) as lab, pytest.raises(ConnectionFailed, match="changed while it was fetched"):
        run(lab, tmp_path)


def test_a_cancelled_job_stores_nothing(fake: FakeOrthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = LocalJobContext(tmp_path)
    monkeypatch.setattr(context, "cancelled", lambda: "segmenting" in context.stages)
    with started(fake) as lab, pytest.raises(JobCancelled):
        run(lab, tmp_path, context=context)
    assert "POST /dicom-web/studies" not in fake.asked


def test_a_machine_starts_while_orthanc_is_away_and_not_with_a_wrong_login(fake: FakeOrthanc) -> None:
    fake.says("GET /system", (503, b""))
    with started(fake):
        pass
    fake.says("GET /system", (401, b""))
    with pytest.raises(StartupError, match="refuses the login"), started(fake):
        pass


@pytest.mark.parametrize("threshold", ["0", "1", "half", "nan"])
def test_a_threshold_that_is_no_probability_stops_the_start(fake: FakeOrthanc, threshold: str) -> None:
    with pytest.raises(StartupError, match="THRESHOLD"), started(fake, THRESHOLD=threshold):
        pass
