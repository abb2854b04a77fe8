"""A network of the tests, set by hand: it calls bright voxels lesions. Small enough for a test, and no model of anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.harness.volumes import ball, write_nifti

#: Two convolutions at full resolution; the logit is 10 * (z-score - BRIGHT).
SPEC: dict[str, Any] = {"channels": [1, 1], "strides": [1], "num_res_units": 0, "norm": None, "act": "relu"}
BRIGHT = 3.0
#: Voxels of the lesion of `brain`: a block off the middle.
LESION = (slice(12, 18), slice(20, 25), slice(16, 20))
#: Axes turned, one of them backwards, and all of them oblique by some degrees; voxels of 1.1 x 0.9 x 1.0 mm.
OBLIQUE = np.array(
    [[-0.0957, 0.8965, 0.0, 12.0], [1.0958, 0.0783, 0.0, -40.0], [0.0, 0.0, -1.0, 25.0], [0.0, 0.0, 0.0, 1.0]]
)
FLIPPED = np.diag([-1.0, 1.0, 1.0, 1.0])


def state(outputs: int = 1) -> dict[str, torch.Tensor]:
    """Return the detector's weights. With two outputs the first channel is the background, whose logit is 0."""
    middle = torch.zeros(1, 1, 3, 3, 3)
    middle[..., 1, 1, 1] = 1.0
    last = torch.zeros(2, outputs, 3, 3, 3)
    last[0, -1, 1, 1, 1] = 10.0
    bias = torch.zeros(outputs)
    bias[-1] = -10.0 * BRIGHT
    return {
        "model.0.conv.weight": middle,
        "model.0.conv.bias": torch.zeros(1),
        "model.1.submodule.conv.weight": middle.clone(),
        "model.1.submodule.conv.bias": torch.zeros(1),
        "model.2.conv.weight": last,
        "model.2.conv.bias": bias,
    }


def detector(folder: Path, checkpoint: Any = None, **spec: Any) -> dict[str, str]:
    """Write the detector as `best_model.pth`, with its specification beside it. Returns the options to load it."""
    path = folder / "best_model.pth"
    torch.save(state() if checkpoint is None else checkpoint, path)
    path.with_suffix(".json").write_text(json.dumps({**SPEC, **spec}))
    return {"MODEL_PATH": str(path)}


def brain(lesion: bool = True) -> NDArray[np.int16]:
    """Return a ball with a bright block in it, or without."""
    data = ball()
    if lesion:
        data[LESION] = 2500
    return data


def write_brain(path: Path, affine: NDArray[Any] | None = None, *, lesion: bool = True) -> Path:
    return write_nifti(path, brain(lesion), affine)
