"""The network of `mri-lab`: weights of the user's own as in `mri` (docs/models.md), else the shipped ones of `segmentation`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from processors.mri.loading import SegmentationModel, load_model
from processors.mri.segment import segment
from processors.protocol import LoadContext
from processors.segmentation.grid import to_model
from processors.segmentation.network import LesionNet, restored
from processors.segmentation.processor import WEIGHTS_NAME, WEIGHTS_SHA256
from processors.segmentation.volume import FloatArray, Volume
from processors.weights import find_weights, load_state

BESIDE = Path(__file__).parents[1] / "segmentation" / "weights"


class LesionModel:
    """`sha256`: of the weights in use."""

    def __init__(self, network: LesionNet | SegmentationModel, device: str, sha256: str) -> None:
        self._network = network
        self._device = device
        self.sha256 = sha256

    @classmethod
    def load(cls, ctx: LoadContext) -> LesionModel:
        """Load the weights that MODEL_PATH names, else the shipped ones. Raises ModelNotFound."""
        if ctx.option("MODEL_PATH"):
            own = load_model(ctx)
            return cls(own, ctx.device, own.sha256)
        path = find_weights(WEIGHTS_NAME, WEIGHTS_SHA256, beside=BESIDE)
        return cls(restored(load_state(path)).to(ctx.device), ctx.device, WEIGHTS_SHA256)

    def probability(self, volume: Volume, before_window: Callable[[], None]) -> FloatArray:
        """Return the lesion probability of each voxel. `before_window` may raise, to stop the job.

        Raises InvalidInput if no brain is in the volume, PayloadTooLarge if there is far more.
        """
        if isinstance(self._network, SegmentationModel):
            return segment(self._network, volume, before_window)
        view = to_model(volume)
        before_window()
        with torch.inference_mode():
            found: torch.Tensor = self._network(view.box.to(self._device))[0, 0].sigmoid().cpu()
        return view.back(found)
