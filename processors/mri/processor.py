"""The processor `mri`: a claim check on a brain in; mask, probability, picture and report out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from processors.mri.contract import MriInput, MriOutput
from processors.mri.loading import MODEL_OPTIONS, load_model
from processors.mri.picture import greys, overlay
from processors.mri.report import Findings, foreground_of, lesions_of, report_of
from processors.mri.segment import box_probability, lesion_mask
from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.segmentation.grid import ModelView, to_model
from processors.segmentation.nifti import write_mask
from processors.segmentation.processor import slice_areas
from processors.segmentation.reading import read_volume
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput, JobCancelled, JobError, StartupError

NIFTI, PNG, JSON = "application/x-nifti", "image/png", "application/json"
THRESHOLD = "0.5"
#: Steps of a stored probability. NIfTI has no half precision, and full precision hardly compresses; the four files of a job
#: travel within one callback.
PROBABILITY_STEPS = 255


@dataclass(frozen=True, slots=True)
class PreparedBrain:
    """`view`: of the network. `geometry`: the volume without its voxels. `greys`: the volume as it is drawn later."""

    view: ModelView
    geometry: Volume
    greys: NDArray[np.uint8]
    ctx: JobContext


@dataclass(frozen=True, slots=True)
class SegmentedBrain:
    """`probability`: of lesion, over the view's box."""

    prepared: PreparedBrain
    probability: torch.Tensor


class Mri:
    name = "mri"
    version = "1.0"
    request = MriInput
    result = MriOutput
    options = (*MODEL_OPTIONS, "THRESHOLD")
    # One volume fills a device, and no two have the same shape: nothing is won by waiting for a second.
    policy = Policy(batch=Batch(max_size=1), limits=Limits(soft_ms=300_000, hard_ms=900_000), in_flight=8, threads=1)
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        self._threshold = _threshold(ctx.option("THRESHOLD", THRESHOLD))
        self._model = load_model(ctx)
        self.model_sha256 = self._model.sha256

    def prepare(self, job: Job[MriInput], ctx: JobContext) -> PreparedBrain:
        threshold = job.input.threshold
        if threshold is not None and not 0.0 < threshold < 1.0:
            raise InvalidInput("The threshold is a probability: above 0 and below 1.", next_step="0.5 is the default.")
        ctx.progress("reading")
        volume = read_volume(ctx.open(job.input.volume), job.input.kind)
        return PreparedBrain(to_model(volume), volume.without_data(), greys(volume), ctx)

    def run(self, items: Sequence[PreparedBrain]) -> Sequence[SegmentedBrain | JobError]:
        return [self._segmented(item) for item in items]

    def finish(self, job: Job[MriInput], raw: SegmentedBrain, ctx: JobContext) -> MriOutput:
        ctx.progress("writing")
        prepared = raw.prepared
        geometry = prepared.geometry
        threshold = self._threshold if job.input.threshold is None else job.input.threshold
        probability = prepared.view.back(raw.probability)
        mask = lesion_mask(self._model, probability, threshold)
        found = Findings(
            geometry,
            mask.shape,
            job.input.volume.sha256,
            foreground_of(prepared.greys, geometry.voxel_mm3),
            threshold,
            lesions_of(mask, probability, geometry),
            slice_areas(mask, geometry.affine),
        )
        folder = ctx.scratch()
        write_mask(mask, geometry, folder / "mask.nii.gz")
        steps = np.round(probability * PROBABILITY_STEPS).astype(np.uint8)
        write_mask(steps, geometry, folder / "probability.nii.gz", slope=1.0 / PROBABILITY_STEPS)
        (folder / "overlay.png").write_bytes(_picture(prepared, mask, found, self._model.peak))
        files = {
            "mask": ctx.save(folder / "mask.nii.gz", NIFTI),
            "probability": ctx.save(folder / "probability.nii.gz", NIFTI),
            "overlay": ctx.save(folder / "overlay.png", PNG),
        }
        hashes = {name: claim.sha256 for name, claim in files.items()}
        (folder / "report.json").write_bytes(report_of(found, self._model, self.version, hashes))
        return MriOutput(
            **files,
            report=ctx.save(folder / "report.json", JSON),
            lesion_volume_mm3=found.lesion_volume_mm3,
            lesion_count=len(found.lesions),
            slice_areas_mm2=found.slice_areas_mm2,
            threshold=threshold,
            voxel_mm3=geometry.voxel_mm3,
            shape=list(mask.shape),
        )

    def _segmented(self, item: PreparedBrain) -> SegmentedBrain | JobError:
        def stop_if_cancelled() -> None:
            if item.ctx.cancelled():
                raise JobCancelled("The job was stopped between two windows of its volume.")

        try:
            return SegmentedBrain(item, box_probability(self._model, item.view.box, stop_if_cancelled))
        except JobCancelled as error:
            return error


def _picture(prepared: PreparedBrain, mask: NDArray[np.uint8], found: Findings, peak: float) -> bytes:
    if found.lesions:
        largest, count = found.lesions[0], len(found.lesions)
        which = "the lesion" if count == 1 else f"the largest of {count} lesions"
        text = f"Slices through {which}, {largest.volume_mm3 / 1000.0:.2f} ml. Outline: probability above {found.threshold:g}."
        voxels = largest.voxels
    else:
        text = f"No lesion: the probability is nowhere above {max(found.threshold, peak):g}. Middle slices."
        voxels = np.zeros((0, 3), dtype=np.int64)
    return overlay(prepared.greys, mask, found.geometry.affine, voxels, text)


def _threshold(text: str) -> float:
    """Return the option THRESHOLD as a number. Raises StartupError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < 1.0:
        raise StartupError(
            f"THRESHOLD is {text[:20]!r}.", next_step="Set a probability above 0 and below 1; 0.5 is the default."
        )
    return value
