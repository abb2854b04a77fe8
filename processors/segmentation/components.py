"""Counts separate lesions in a mask with numpy alone, so that a worker needs no scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

#: Half of the 26 neighbours; the other half is the same pairs seen from the other side.
_FORWARD = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]


def count_components(mask: NDArray[np.uint8]) -> int:
    """Count groups of voxels that touch at least at a corner (26-connectivity)."""
    voxels = np.argwhere(mask)
    return len(np.unique(component_labels(voxels)))


def component_labels(voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number per row of `voxels` (indices of three axes), the same for all voxels of a group that touch."""
    if len(voxels) == 0:
        return np.zeros(0, dtype=np.int64)
    one, other = _touching(voxels)
    labels = np.arange(len(voxels))
    while True:
        before = labels.copy()
        lowest = np.minimum(labels[one], labels[other])
        # Hook the root of either side to the lower label, then let every voxel jump to its root's root.
        for side in (one, other):
            np.minimum.at(labels, before[side], lowest)
        labels = labels[labels]
        if np.array_equal(labels, before):
            return labels


def _touching(voxels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows of `voxels` that are neighbours."""
    low = voxels.min(0) - 1
    number = np.full(voxels.max(0) - low + 2, -1, dtype=np.int64)
    number[tuple((voxels - low).T)] = np.arange(len(voxels))
    ones, others = [], []
    for step in _FORWARD:
        near = number[tuple((voxels - low + step).T)]
        found = near >= 0
        ones.append(np.flatnonzero(found))
        others.append(near[found])
    return np.concatenate(ones), np.concatenate(others)
