"""Scores of a classifier, with intervals by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]
Score = Callable[[Labels, Scores], float]

RESAMPLES = 2000


def auc(positive: NDArray[np.bool_], scores: Scores) -> float:
    """Return the area under the ROC curve: the chance that a positive has the higher score, ties counted half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def macro_auc(labels: Labels, probabilities: Scores) -> float:
    """Return the mean over the classes of the AUC of one class against the rest. `probabilities`: (N, K)."""
    return float(np.mean([auc(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])]))


def balanced_accuracy(labels: Labels, probabilities: Scores) -> float:
    """Return the mean over the classes of the share of its patients that are given that class."""
    right = probabilities.argmax(1) == labels
    return float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))


def accuracy(labels: Labels, probabilities: Scores) -> float:
    return float((probabilities.argmax(1) == labels).mean())


def interval(
    labels: Labels, probabilities: Scores, score: Score, other: Scores | None = None, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % interval of a score, or of its gain over `other` on the same patients.

    Patients are drawn with replacement within each class, because the smallest classes have ten.
    """
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([rng.choice(row, len(row)) for row in rows])
        value = score(labels[drawn], probabilities[drawn])
        values.append(value if other is None else value - score(labels[drawn], other[drawn]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def folds(labels: Labels, count: int, seed: int) -> Iterator[tuple[Labels, Labels]]:
    """Yield (training rows, test rows) of each fold; every fold has its share of each class."""
    rng = np.random.default_rng(seed)
    part = np.empty(len(labels), dtype=np.int64)
    for k in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == k))
        part[rows] = (np.arange(len(rows)) + rng.integers(count)) % count
    for fold in range(count):
        yield np.flatnonzero(part != fold), np.flatnonzero(part == fold)
