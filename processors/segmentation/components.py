"""Counts separate lesions in a mask with numpy alone, so that a worker needs no scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Half of the eight lines beside a line of voxels along the third axis; the other half is the same pairs, swapped.
_BESIDE = ((0, 1), (1, -1), (1, 0), (1, 1))


def count_components(mask: NDArray[np.uint8]) -> int:
    """Count groups of voxels that touch at least at a corner (26-connectivity)."""
    voxels = np.argwhere(mask)
    return len(np.unique(component_labels(voxels)))


def component_labels(voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number per row of `voxels` (indices of three axes), the same for all voxels of a group that touch.

    Works on runs of voxels along the third axis, of which there are far fewer: a mask that fills a brain takes 0.5 s.
    """
    if len(voxels) == 0:
        return np.zeros(0, dtype=np.int64)
    # A number per voxel that counts along the third axis, with room for a neighbour at both ends of each axis.
    place = voxels - voxels.min(0) + 1
    _, wide, long = place.max(0) + 2
    number = (place[:, 0] * wide + place[:, 1]) * long + place[:, 2]
    order = np.argsort(number, kind="stable")
    sorted_ = number[order]
    begins = np.flatnonzero(np.diff(sorted_, prepend=-1) != 1)
    first, last = sorted_[begins], sorted_[np.append(begins[1:], len(sorted_)) - 1]
    pairs = [_touching(first, last, (x * wide + y) * long) for x, y in _BESIDE]
    one, other = (np.concatenate(sides) for sides in zip(*pairs, strict=True))
    labels = _joined(len(first), one, other)
    found = np.empty(len(voxels), dtype=np.int64)
    found[order] = np.repeat(labels, np.diff(begins, append=len(sorted_)))
    return found


def _touching(
    first: NDArray[np.int64], last: NDArray[np.int64], offset: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs that are neighbours, of which the second lies on the line at `offset` from the first's."""
    low = np.searchsorted(last, first + offset - 1, side="left")
    high = np.searchsorted(first, last + offset + 1, side="right")
    counts = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(first)), counts)
    within = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
    return one, np.repeat(low, counts) + within


def _joined(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a label per run, the same for runs that a chain of pairs connects."""
    labels = np.arange(count)
    while True:
        here, there = labels[one], labels[other]
        apart = here != there
        if not apart.any():
            return labels
        # Pairs within one group can be forgotten. Hook the higher root to the lower one, then let every run find its root.
        one, other, here, there = one[apart], other[apart], here[apart], there[apart]
        np.minimum.at(labels, np.maximum(here, there), np.minimum(here, there))
        while not np.array_equal(labels, roots := labels[labels]):
            labels = roots
