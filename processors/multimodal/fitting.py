"""Fits the model: weighted logistic regressions by Newton's method, many bootstrap samples at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from processors.multimodal.fusion import MODALITIES, LateFusion, modalities_of, transformed

STEPS = 25
TOLERANCE = 1e-9
#: Keeps Newton's matrix invertible; far too small to move a weight of thousands of people.
RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class People:
    """`raw` (N, 7) as `fusion.transformed` takes it, NaN where missing. `died` (N,), 0 or 1."""

    raw: torch.Tensor
    died: torch.Tensor

    def take(self, rows: torch.Tensor) -> People:
        return People(self.raw[rows], self.died[rows])


def fit(people: People, replicates: int = 1, seed: int = 0) -> LateFusion:
    """Return the model of these people. The first fit counts each once; the others count them as drawn with replacement."""
    model = LateFusion(replicates)
    counts = _counts(len(people.died), replicates, seed)
    features = transformed(people.raw)
    _set_scale(model, features)
    z, present = model.standardised(features)
    start = 0
    for name, own in MODALITIES.items():
        columns = slice(start, start + len(own))
        _fit_subsets(model.get_buffer(name), z[:, columns], present[:, columns], people.died, counts)
        start += len(own)
    _, logits = model.modality_logits(z, present)
    _fit_subsets(model.get_buffer("fusion"), logits, modalities_of(present), people.died, counts)
    return model


def logistic(x: torch.Tensor, y: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return weights (R, d) of R logistic regressions. `x` is (N, d) or (R, N, d); row n counts `counts[r, n]` times."""
    x = x.expand(len(counts), -1, -1)
    weights = torch.zeros(len(counts), x.shape[-1], dtype=x.dtype)
    ridge = RIDGE * torch.eye(x.shape[-1], dtype=x.dtype)
    for _ in range(STEPS):
        p = (x @ weights[..., None])[..., 0].sigmoid()
        gradient = ((counts * (y - p))[..., None] * x).sum(1) - RIDGE * weights
        curvature = (x * (counts * p * (1.0 - p))[..., None]).mT @ x + ridge
        step = torch.linalg.solve(curvature, gradient)
        weights = weights + step
        if float(step.abs().max()) < TOLERANCE:
            break
    return weights


def _fit_subsets(
    into: torch.Tensor, x: torch.Tensor, present: torch.Tensor, y: torch.Tensor, counts: torch.Tensor
) -> None:
    """Fit a regression for each subset of columns, on the rows that have all of these. The empty subset keeps zeros."""
    for subset in range(1, into.shape[1]):
        columns = [column for column in range(x.shape[-1]) if subset >> column & 1]
        rows = present[:, columns].all(1)
        chosen = x[..., rows, :][..., columns]
        design = torch.cat([torch.ones_like(chosen[..., :1]), chosen], dim=-1)
        into[:, subset, [0, *(1 + column for column in columns)]] = logistic(design, y[rows], counts[:, rows])


def _set_scale(model: LateFusion, features: torch.Tensor) -> None:
    for column in range(features.shape[1]):
        known = features[:, column]
        known = known[~known.isnan()]
        if not len(known):  # a feature that none of these people has
            continue
        model.get_buffer("mean")[column] = known.mean()
        model.get_buffer("scale")[column] = known.std()
        model.get_buffer("lowest")[column] = known.min()
        model.get_buffer("highest")[column] = known.max()


def _counts(people: int, replicates: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.ones(replicates, people, dtype=torch.double)
    for row in counts[1:]:
        drawn = torch.randint(people, (people,), generator=generator)
        row.copy_(torch.bincount(drawn, minlength=people))
    return counts
