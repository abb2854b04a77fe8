"""The processor `segmentation`: a claim check on a volume in, a claim check on the lesion mask out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.segmentation.components import count_components
from processors.segmentation.grid import ModelView, to_model
from processors.segmentation.network import restored
from processors.segmentation.nifti import write_mask
from processors.segmentation.reading import read_volume
from processors.segmentation.volume import Affine, Volume
from processors.weights import load_state
from schemas.errors import InvalidInput
from schemas.records import SegmentationInput, SegmentationOutput

WEIGHTS_NAME = "lesions.safetensors"
WEIGHTS_SHA256 = "5016e901698c48b966429ea4f3452d5a7d67d23647be1ff3808eca376557103e"
MASK_TYPE = "application/x-nifti"


@dataclass(frozen=True, slots=True)
class Prepared:
    """`geometry`: the volume without its voxels, which the view has."""

    view: ModelView
    geometry: Volume


@dataclass(frozen=True, slots=True)
class Segmented:
    """`probability`: of lesion, over the view's box."""

    prepared: Prepared
    probability: torch.Tensor


class Segmentation:
    name = "segmentation"
    version = "1.0"
    request = SegmentationInput
    result = SegmentationOutput
    # One volume fills a device, and no two have the same shape: nothing is won by waiting for a second.
    policy = Policy(
        batch=Batch(max_size=1), limits=Limits(soft_ms=60_000, hard_ms=180_000), in_flight=16, threads=1, memoize=True
    )
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        network = restored(load_state(ctx.weights(WEIGHTS_NAME, WEIGHTS_SHA256))).to(ctx.device)
        self._network = network.to(memory_format=torch.channels_last_3d)
        self._device = ctx.device
        self.model_sha256 = WEIGHTS_SHA256
        self._forward(torch.zeros(1, 1, 32, 32, 32))

    def prepare(self, job: Job[SegmentationInput], ctx: JobContext) -> Prepared:
        if not 0.0 < job.input.threshold < 1.0:
            raise InvalidInput("The threshold is a probability: above 0 and below 1.", next_step="0.5 is the default.")
        ctx.progress("reading")
        volume = read_volume(ctx.open(job.input.volume), job.input.kind)
        return Prepared(to_model(volume), volume.without_data())

    def run(self, items: Sequence[Prepared]) -> Sequence[Segmented]:
        return [Segmented(item, self._forward(item.view.box)) for item in items]

    def finish(self, job: Job[SegmentationInput], raw: Segmented, ctx: JobContext) -> SegmentationOutput:
        ctx.progress("writing")
        geometry, threshold = raw.prepared.geometry, job.input.threshold
        mask = (raw.prepared.view.back(raw.probability) > threshold).astype(np.uint8)
        path = ctx.scratch() / "mask.nii.gz"
        write_mask(mask, geometry, path)
        voxel_mm3 = geometry.voxel_mm3
        return SegmentationOutput(
            mask=ctx.save(path, MASK_TYPE),
            lesion_volume_mm3=int(mask.sum()) * voxel_mm3,
            lesion_count=count_components(mask),
            slice_areas_mm2=slice_areas(mask, geometry.affine),
            threshold=threshold,
            voxel_mm3=voxel_mm3,
            shape=list(mask.shape),
        )

    def _forward(self, box: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            image = box.to(self._device).contiguous(memory_format=torch.channels_last_3d)
            probability: torch.Tensor = self._network(image)[0, 0].sigmoid().cpu()
        return probability


def slice_areas(mask: NDArray[np.uint8], affine: Affine) -> list[float]:
    """Lesion area in mm² of each slice along the third axis."""
    pixel_mm2 = float(np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1])))
    return [int(count) * pixel_mm2 for count in mask.sum(axis=(0, 1), dtype=np.int64)]
