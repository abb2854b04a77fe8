"""Counting lesions gives what scipy gives, without scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]

from processors.segmentation.components import count_components


@pytest.mark.parametrize("share", [0.0, 0.002, 0.02, 0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_masks_are_counted_as_scipy_counts_them(share: float, seed: int) -> None:
    mask = (np.random.default_rng(seed).random((23, 31, 19)) < share).astype(np.uint8)
    assert count_components(mask) == ndimage.label(mask, np.ones((3, 3, 3)))[1]


def test_a_long_thread_is_one_lesion() -> None:
    mask = np.zeros((60, 60, 5), dtype=np.uint8)
    for row in range(0, 60, 4):
        mask[row, :, 2] = 1
        mask[row : row + 5, 59 if row % 8 == 0 else 0, 2] = 1
    assert count_components(mask) == 1


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((4, 4, 4), dtype=np.uint8)
    mask[1, 1, 1] = mask[2, 2, 2] = 1
    assert count_components(mask) == 1
