"""Loads the model of a worker: the shipped weights, or a file of the user's own (docs/models.md).

Options: MODEL_PATH names the file, MODEL_SHA256 what it must hash to, MODEL_SPEC its architecture if it is not that of the
shipped weights. No code in a file ever runs: torch files are read with `weights_only=True`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from processors.mri.checkpoint import fitted, read_state
from processors.mri.network import SPEC, restored
from processors.mri.spec import Architecture, architecture_of, specified
from processors.protocol import LoadContext
from processors.weights import find_weights, load_state, sha256_of
from schemas.errors import ModelNotFound

#: Options of a processor that loads this model.
MODEL_OPTIONS = ("MODEL_PATH", "MODEL_SHA256", "MODEL_SPEC")
WEIGHTS_NAME = "tumour.safetensors"
WEIGHTS_SHA256 = "414ec26c03e34731afff0bc961ba67f9a9354750c305c5f8da0e5503cb9e54ca"
#: False alarms of the shipped weights on the training heads peak below 0.987, lesions above 0.997 (docs/adr/0041).
PEAK = 0.99
BESIDE = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class SegmentationModel:
    """A network that is ready to work.

    Attributes:
        network: Normalised intensities (1, 1, X, Y, Z) → logits (1, 1 or 2, X, Y, Z).
        architecture: What it is made of.
        device: Where it is.
        name: The file's name.
        sha256: The file's hash.
        own: True for weights of the user's own, whose accuracy is unknown here.
    """

    network: torch.nn.Module
    architecture: Architecture
    device: str
    name: str
    sha256: str
    own: bool

    @property
    def window(self) -> tuple[int, int, int]:
        return self.architecture.window

    @property
    def peak(self) -> float:
        return self.architecture.peak

    def padded(self, side: int) -> int:
        """Return the length that a side of a box has to have for the network."""
        return self.architecture.padded(side)

    def lesion(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probability of lesion, (1, 1, X, Y, Z): a sigmoid of one channel, or the second of two by softmax."""
        return logits.float().sigmoid() if logits.shape[1] == 1 else logits.float().softmax(1)[:, 1:]


def load_model(ctx: LoadContext) -> SegmentationModel:
    """Load the model that the options name, else the shipped one, and run it once.

    Raises ModelNotFound for a file that is missing, altered, damaged, no state dict, of another architecture or with NaN.
    """
    path, spec = ctx.option("MODEL_PATH"), ctx.option("MODEL_SPEC")
    if not path:
        if spec or ctx.option("MODEL_SHA256"):
            raise ModelNotFound(
                "MODEL_SPEC or MODEL_SHA256 is set, but MODEL_PATH is not.", next_step="Set MODEL_PATH."
            )
        file = _shipped(ctx)
        model = _made(file, load_state(file), {**SPEC, "peak": PEAK}, ctx.device, WEIGHTS_SHA256, own=False)
    else:
        file = Path(path)
        sha256 = _checked(file, ctx.option("MODEL_SHA256"))
        model = _made(file, read_state(file), specified(file, spec), ctx.device, sha256, own=True)
    _try(model)
    return model


def _shipped(ctx: LoadContext) -> Path:
    """Return the file of the shipped weights. Another processor that uses this network finds it here, too."""
    try:
        return ctx.weights(WEIGHTS_NAME, WEIGHTS_SHA256)
    except ModelNotFound:
        if not (BESIDE / WEIGHTS_NAME).is_file():
            raise
        return find_weights(WEIGHTS_NAME, WEIGHTS_SHA256, beside=BESIDE)


def _checked(file: Path, expected: str) -> str:
    """Return the sha256 of a user's file. Raises ModelNotFound if it is missing or has another one than `expected`."""
    if not file.is_file():
        raise ModelNotFound(
            f"MODEL_PATH names {file.absolute()}, which is no file.",
            next_step="Give the path of the weights, best an absolute one: a relative one counts from the working directory.",
        )
    found = sha256_of(file)
    if expected and found != expected.strip().lower():
        raise ModelNotFound(
            f"{file.name} is another file than MODEL_SHA256 says: expected {expected.strip()[:64]}, found {found}.",
            next_step="Restore the file, or set MODEL_SHA256 to the hash of the new one.",
        )
    return found


def _made(
    file: Path, state: Mapping[str, torch.Tensor], spec: Mapping[str, Any], device: str, sha256: str, *, own: bool
) -> SegmentationModel:
    architecture = architecture_of(spec)
    state = fitted(state, architecture.unet, file.name)
    return SegmentationModel(
        restored(state, architecture.unet).to(device), architecture, device, file.name, sha256, own
    )


def _try(model: SegmentationModel) -> None:
    """Run the network once on nothing: what is broken shows now, and the first job is as fast as the others."""
    side = model.padded(32)
    with torch.inference_mode():
        shape = tuple(model.network(torch.zeros(1, 1, side, side, side, device=model.device)).shape)
    if shape[2:] != (side,) * 3:
        raise ModelNotFound(
            f"{model.name}: the network turns {side} voxels a side into {' x '.join(map(str, shape[2:]))}.",
            next_step="Correct kernel sizes and strides in the specification: the output must have the size of the input.",
        )
