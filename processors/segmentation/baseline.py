"""Thresholding, the baseline that the network must beat, with every advantage.

Eight maps (z-score, its negative, its size, and the difference from the surroundings; each as it is and smoothed), every
threshold of a grid, with and without a smallest size of a blob, are tried on training volumes, for each size class of
lesions on its own, and the best is kept. The network gets one threshold for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from processors.segmentation.anatomy import FloatArray
from processors.segmentation.samples import dice_of

BoolArray = NDArray[np.bool_]

SURROUNDINGS_MM = 6.0
SMOOTHING_MM = (0.0, 0.8)
THRESHOLDS = [1.2, 1.55, 1.9, 2.25, 2.6, 2.95, 3.3, 3.65, 4.0]
SMALLEST_BLOBS = (1, 30)

MAPS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "bright": lambda image, around: image,
    "dark": lambda image, around: -image,
    "bright or dark": lambda image, around: np.abs(image),
    "unlike its surroundings": lambda image, around: np.abs(image - around),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Voxels of the brain where the map exceeds the threshold, in blobs of at least `smallest` voxels."""

    map: str
    smoothing_mm: float
    threshold: float
    smallest: int

    def apply(self, image: FloatArray, brain: BoolArray) -> BoolArray:
        seen = _maps(image, brain, self.smoothing_mm)[self.map]
        return _without_small((seen > self.threshold) & brain, self.smallest)


def tune(cases: list[tuple[FloatArray, BoolArray, BoolArray]]) -> tuple[Rule, float]:
    """The rule with the best mean Dice over (z-scored image, brain, truth), and that Dice."""
    totals: dict[Rule, float] = {}
    for image, brain, truth in cases:
        for rule, mask in _every_rule(image, brain):
            totals[rule] = totals.get(rule, 0.0) + dice_of(mask, truth)
    best = max(totals, key=lambda rule: totals[rule])
    return best, totals[best] / len(cases)


def _every_rule(image: FloatArray, brain: BoolArray) -> Iterator[tuple[Rule, BoolArray]]:
    for smoothing in SMOOTHING_MM:
        for name, seen in _maps(image, brain, smoothing).items():
            for threshold, smallest in product(THRESHOLDS, SMALLEST_BLOBS):
                yield Rule(name, smoothing, threshold, smallest), _without_small((seen > threshold) & brain, smallest)


def _maps(image: FloatArray, brain: BoolArray, smoothing: float) -> dict[str, FloatArray]:
    smooth = ndimage.gaussian_filter(image, smoothing) if smoothing else image
    # Averaged over the brain alone, or its rim would always be unlike its surroundings.
    share = ndimage.gaussian_filter(brain.astype(np.float32), SURROUNDINGS_MM)
    around = ndimage.gaussian_filter(np.where(brain, image, 0.0), SURROUNDINGS_MM) / np.maximum(share, 0.05)
    return {name: make(smooth, around) for name, make in MAPS.items()}


def _without_small(mask: BoolArray, smallest: int) -> BoolArray:
    if smallest == 1:
        return mask
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large: BoolArray = (sizes >= smallest)[labels]
    return large
