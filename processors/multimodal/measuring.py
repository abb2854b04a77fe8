"""Measures predictions: AUC and its differences with bootstrap intervals, calibration, and cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from processors.multimodal.fitting import People, fit
from processors.multimodal.fusion import FEATURES

FOLDS, REPEATS = 5, 2
RESAMPLES = 1000
GROUPS = 10


@dataclass(frozen=True, slots=True)
class WithInterval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def only(raw: torch.Tensor, features: Iterable[str]) -> torch.Tensor:
    """Return raw features with all others missing."""
    kept = torch.full_like(raw, float("nan"))
    for name in features:
        kept[:, FEATURES.index(name)] = raw[:, FEATURES.index(name)]
    return kept


def left_out_logits(
    people: People, views: Mapping[str, Sequence[str]], seed: int, folds: int = FOLDS, repeats: int = REPEATS
) -> dict[str, torch.Tensor]:
    """Return each person's logit from models that never saw them, by view: the features that the model is given.

    Cross-validation, stratified by outcome; the mean of `repeats` divisions into `folds`.
    """
    logits = {name: torch.zeros(len(people.died), dtype=torch.double) for name in views}
    generator = torch.Generator().manual_seed(seed)
    for _ in range(repeats):
        fold = torch.empty(len(people.died), dtype=torch.long)
        for outcome in (0.0, 1.0):
            rows = torch.nonzero(people.died == outcome)[:, 0]
            fold[rows[torch.randperm(len(rows), generator=generator)]] = torch.arange(len(rows)) % folds
        for number in range(folds):
            model = fit(people.take(fold != number))
            held = fold == number
            for name, features in views.items():
                logits[name][held] += model(only(people.raw[held], features)).logits[:, 0] / repeats
    return logits


def auc(scores: torch.Tensor, outcome: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the area under the ROC curve (B,) where person n counts `counts[b, n]` times. Ties count half."""
    _, group = torch.unique(scores, return_inverse=True)
    size = int(group.max()) + 1
    positive = torch.zeros(len(counts), size, dtype=torch.double).index_add_(1, group, counts * outcome)
    negative = torch.zeros(len(counts), size, dtype=torch.double).index_add_(1, group, counts * (1.0 - outcome))
    below = negative.cumsum(1) - negative / 2.0
    return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))


def difference(first: torch.Tensor, second: torch.Tensor | None, outcome: torch.Tensor, seed: int) -> WithInterval:
    """Return by how much the AUC of `first` is above that of `second` (None: its AUC), over resampled people (paired)."""
    generator = torch.Generator().manual_seed(seed)
    people = len(outcome)
    found: list[torch.Tensor] = []
    for size in (1, *[100] * (RESAMPLES // 100)):
        counts = torch.ones(size, people, dtype=torch.double)
        if found:
            for row in counts:
                drawn = torch.randint(people, (people,), generator=generator)
                row.copy_(torch.bincount(drawn, minlength=people))
        each = auc(first, outcome, counts)
        found.append(each if second is None else each - auc(second, outcome, counts))
    shares = torch.tensor([0.025, 0.975], dtype=torch.double)
    low, high = torch.cat(found[1:]).quantile(shares)
    return WithInterval(float(found[0][0]), float(low), float(high))


def calibration_gap(logits: torch.Tensor, outcome: torch.Tensor) -> float:
    """Return the mean distance between risk and observed share, over ten groups of equal size by risk."""
    order = logits.argsort()
    gaps = [abs(float(logits[rows].sigmoid().mean() - outcome[rows].mean())) for rows in order.tensor_split(GROUPS)]
    return sum(gaps) / len(gaps)
