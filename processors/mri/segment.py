"""From a volume to the probability of lesion in each of its voxels, and to a mask: `segment` and `lesion_mask`, for every
processor that uses this network.

The volume is turned to R-A-S, resampled to one millimetre and z-scored within the brain (processors/segmentation/grid.py).
A box that fits into the model's window is computed at once; a larger one by windows that overlap by half, weighted by a
Gaussian (MONAI's `sliding_window_inference`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from processors.mri.loading import SegmentationModel
from processors.segmentation.components import component_labels
from processors.segmentation.grid import to_model
from processors.segmentation.volume import FloatArray, Volume
from schemas.errors import ProcessorBug

OVERLAP = 0.5


def segment(model: SegmentationModel, volume: Volume, before_window: Callable[[], None] = lambda: None) -> FloatArray:
    """Return the probability of lesion, 0..1, by voxel of the volume; 0 outside the brain's box.

    `before_window` is called before each window and may raise, to stop a job that was cancelled. Raises InvalidInput if there
    is no brain in the volume, PayloadTooLarge if there is far more, ProcessorBug if the network answers NaN.
    """
    view = to_model(volume)
    return view.back(box_probability(model, view.box, before_window))


def lesion_mask(model: SegmentationModel, probability: FloatArray, threshold: float) -> NDArray[np.uint8]:
    """Return 1 where the probability exceeds the threshold, in blobs (26-connectivity) that reach the model's peak."""
    mask = (probability > threshold).astype(np.uint8)
    if model.peak > threshold:
        voxels = np.argwhere(mask)
        labels = component_labels(voxels)
        _, blob = np.unique(labels, return_inverse=True)
        peaks = np.zeros(int(blob.max()) + 1 if len(blob) else 0, dtype=np.float32)
        np.maximum.at(peaks, blob, probability[tuple(voxels.T)])
        mask[tuple(voxels[peaks[blob] < model.peak].T)] = 0
    return mask


def box_probability(
    model: SegmentationModel, box: torch.Tensor, before_window: Callable[[], None] = lambda: None
) -> torch.Tensor:
    """Return the probability of lesion (X, Y, Z) in a normalised box (1, 1, X, Y, Z), on the CPU."""
    sides = box.shape[2:]
    padded = functional.pad(box, [n for side in reversed(sides) for n in (0, model.padded(side) - side)])
    window = [min(most, side) for most, side in zip(model.window, padded.shape[2:], strict=True)]

    def probability(part: torch.Tensor) -> torch.Tensor:
        before_window()
        return model.lesion(model.network(part))

    with torch.inference_mode():
        image = padded.to(model.device)
        if window == list(image.shape[2:]):
            whole = probability(image)
        else:
            from monai.inferers.utils import sliding_window_inference

            found: Any = sliding_window_inference(image, window, 1, probability, overlap=OVERLAP, mode="gaussian")
            whole = found
    if not bool(torch.isfinite(whole).all()):
        raise ProcessorBug(f"{model.name} answers NaN for this volume: its numbers overflow.")
    return whole[0, 0, : sides[0], : sides[1], : sides[2]].cpu()
