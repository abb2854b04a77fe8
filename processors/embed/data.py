"""scikit-learn's 1,797 digits, parted into training and two holdouts that neither training nor its choices ever see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

#: Neighbours in the file often share a writer, so that a cut by index is harder than a random one.
FIRST_BY_INDEX = 1500
BALANCED_PER_CLASS = 20
SPLIT_SEED = 11


@dataclass(frozen=True, slots=True)
class Digits:
    """`pixels` (N, 64), 0..16. `labels` (N,), 0..9."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> Digits:
        return Digits(self.pixels[indices], self.labels[indices])


@dataclass(frozen=True, slots=True)
class Split:
    """`by_index`: the last 297. `balanced`: 20 of each class, drawn from the rest. `training`: all others."""

    training: Digits
    by_index: Digits
    balanced: Digits


def load_split() -> Split:
    """Always the same split."""
    pixels, labels = load_digits(return_X_y=True)
    digits = Digits(pixels.astype(np.float32), labels.astype(np.int64))
    order = np.random.default_rng(SPLIT_SEED).permutation(FIRST_BY_INDEX)
    balanced = np.concatenate([order[digits.labels[order] == label][:BALANCED_PER_CLASS] for label in range(10)])
    training = np.setdiff1d(np.arange(FIRST_BY_INDEX), balanced)
    by_index = np.arange(FIRST_BY_INDEX, len(digits.labels))
    return Split(digits.take(training), digits.take(by_index), digits.take(np.sort(balanced)))
