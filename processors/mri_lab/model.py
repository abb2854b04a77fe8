"""The network of `mri-lab`: lesion probability of a volume, in the volume's own geometry."""

from __future__ import annotations

from pathlib import Path

import torch

from processors.protocol import LoadContext
from processors.segmentation.grid import to_model
from processors.segmentation.network import LesionNet, restored
from processors.segmentation.processor import WEIGHTS_SHA256
from processors.segmentation.volume import FloatArray, Volume
from processors.weights import load_state, sha256_of

SHIPPED = Path(__file__).parents[1] / "segmentation" / "weights" / "lesions.safetensors"


class LesionModel:
    """`sha256`: of the weights in use."""

    def __init__(self, network: LesionNet, device: str, sha256: str) -> None:
        self._network = network.to(device)
        self._device = device
        self.sha256 = sha256

    @classmethod
    def load(cls, ctx: LoadContext, model_path: str) -> LesionModel:
        """Load the weights in `model_path`, or the shipped ones if it is empty. Raises ModelNotFound."""
        path = Path(model_path) if model_path else SHIPPED
        sha256 = sha256_of(path) if model_path else WEIGHTS_SHA256
        return cls(restored(load_state(path)), ctx.device, sha256)

    def probability(self, volume: Volume) -> FloatArray:
        """Return the lesion probability of each voxel. Raises InvalidInput, PayloadTooLarge."""
        view = to_model(volume)
        with torch.inference_mode():
            found: torch.Tensor = self._network(view.box.to(self._device))[0, 0].sigmoid().cpu()
        return view.back(found)
