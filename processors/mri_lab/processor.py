"""The processor `mri-lab`: a DICOM series from Orthanc in, a DICOM SEG of its lesions into Orthanc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from processors.mri.loading import MODEL_OPTIONS, load_model
from processors.mri.segment import lesion_mask, segment
from processors.mri_lab.contract import MriLabInput, MriLabOutput
from processors.mri_lab.dicom_seg import SegUids, write_seg
from processors.mri_lab.orthanc import LoginRefused, Orthanc
from processors.mri_lab.report import report, tissue_ml
from processors.mri_lab.series import Series, read_series
from processors.policy import Limits, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from processors.segmentation.components import count_components
from processors.segmentation.volume import FloatArray
from schemas.errors import ConnectionFailed, InvalidInput, JobCancelled, JobError, StartupError
from schemas.states import Custody

log = structlog.get_logger("worker")


@dataclass(frozen=True, slots=True)
class FetchedSeries:
    """A series that was fetched and read. `ctx`: so that `run` can stop for a cancel."""

    series: Series
    ctx: JobContext


@dataclass(frozen=True, slots=True)
class SegmentedSeries:
    """`probability`: of lesion, by voxel of the series' volume."""

    series: Series
    probability: FloatArray


class MriLab:
    name = "mri-lab"
    version = "1.0"
    request = MriLabInput
    result = MriLabOutput
    options = ("ORTHANC_URL", "ORTHANC_USER", "ORTHANC_PASSWORD", "THRESHOLD", *MODEL_OPTIONS)
    # The old workers took 10 to 20 minutes on a CPU, 2 to 5 of them for the download.
    policy = Policy(
        custody=Custody.LEASE,
        limits=Limits(soft_ms=2_700_000, hard_ms=3_600_000),
        retry=Retry(base_s=5.0, max_s=120.0),
    )
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        self._threshold = _threshold(ctx.option("THRESHOLD", "0.5"))
        self.orthanc = Orthanc(
            ctx.option("ORTHANC_URL", "http://localhost:8042"),
            ctx.option("ORTHANC_USER"),
            ctx.option("ORTHANC_PASSWORD"),
        )
        try:
            self.orthanc.check()
        except LoginRefused as error:
            self.orthanc.close()
            raise StartupError(error.message, next_step=error.next_step) from error
        except ConnectionFailed as error:  # it may come back, and each job says so until then
            log.warning("orthanc_unreachable", reason=str(error))
        self._model = load_model(ctx)
        self._device = ctx.device
        self.model_sha256 = self._model.sha256

    def prepare(self, job: Job[MriLabInput], ctx: JobContext) -> FetchedSeries:
        if job.input.threshold is not None and not 0.0 < job.input.threshold < 1.0:
            raise InvalidInput("The threshold is a probability: above 0 and below 1.", next_step="0.5 is the default.")
        ctx.progress("waiting for the series")
        found = self.orthanc.wait_until_stable(job.input.series_id, ctx.cancelled)
        folder, paths = ctx.scratch(), []
        for path in self.orthanc.fetch(found, folder):
            paths.append(path)
            ctx.progress("fetching", 100.0 * len(paths) / len(found.instances))
            _stop_if(ctx)
        # A file that came since then would be missing in the volume.
        if self.orthanc.find_series(found.orthanc_id).instances != found.instances:
            raise ConnectionFailed("The series changed while it was fetched. It is tried again.", retry_after_s=5.0)
        ctx.progress("reading")
        return FetchedSeries(read_series(paths), ctx)

    def run(self, items: Sequence[FetchedSeries]) -> Sequence[SegmentedSeries | JobError]:
        return [self._segment(item) for item in items]

    def finish(self, job: Job[MriLabInput], raw: SegmentedSeries, ctx: JobContext) -> MriLabOutput:
        threshold = self._threshold if job.input.threshold is None else job.input.threshold
        mask = lesion_mask(self._model, raw.probability, threshold)
        uids = SegUids.of(job.header.job_id, job.header.run)
        path = ctx.scratch() / "seg.dcm"
        write_seg(mask, raw.series.headers, uids, path, model=self.version, model_sha256=self.model_sha256)
        _stop_if(ctx)
        ctx.progress("storing")
        orthanc_id = self.orthanc.store(path, uids.instance)
        volume_mm3, count = int(mask.sum()) * raw.series.volume.voxel_mm3, count_components(mask)
        return MriLabOutput(
            segmentation_instance_uid=uids.instance,
            segmentation_series_uid=uids.series,
            orthanc_id=orthanc_id,
            found=count > 0,
            lesion_volume_mm3=volume_mm3,
            lesion_count=count,
            threshold=threshold,
            device=self._device,
            report=report(volume_mm3, count, tissue_ml(raw.series.volume)),
        )

    def _segment(self, item: FetchedSeries) -> SegmentedSeries | JobError:
        item.ctx.progress("segmenting")
        try:
            found = segment(self._model, item.series.volume, lambda: _stop_if(item.ctx))
        except JobError as error:
            return error
        return SegmentedSeries(item.series, found)


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise StartupError("THRESHOLD is no probability: above 0 and below 1.", next_step="0.5 is the default.")
    return value


def _stop_if(ctx: JobContext) -> None:
    """Raise JobCancelled if the job should stop."""
    if ctx.cancelled():
        raise JobCancelled("Stopped on request.")
