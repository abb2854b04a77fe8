"""The model: a logistic regression per modality, and for each subset of modalities the weights that combine their logits.

The first of `replicates` fits was made with all training data; the others with samples drawn from it with replacement
(the bootstrap, Efron 1979). Their spread is the interval of a risk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

#: The features by modality, in the order of the model's columns.
MODALITIES = {
    "mri": ("mri_volume_mm3",),
    "genes": ("gene_probability",),
    "proteins": ("proteins.kappa", "proteins.lambda", "proteins.creatinine"),
    "clinical": ("age", "sex"),
}
FEATURES = tuple(feature for features in MODALITIES.values() for feature in features)
#: Fits in the shipped weights: one, and the bootstrap's.
REPLICATES = 201
#: A gene probability of 0 or 1 has no logit: values nearer to the ends count as this far from them.
PROBABILITY_MARGIN = 1e-3


@dataclass(frozen=True, slots=True)
class Fused:
    """`logits` (N, replicates). Of the first fit: `baseline` (N,), the logit at the training data's means, and `contributions`
    (N, features), which add up to the first logit with it. `outside` (N, features): true where a value was beyond the
    range of the training data."""

    logits: torch.Tensor
    baseline: torch.Tensor
    contributions: torch.Tensor
    outside: torch.Tensor


def transformed(raw: torch.Tensor) -> torch.Tensor:
    """Return the features that the regressions see, NaN where missing.

    `raw` is (N, 7): mm³, probability, three values in mg/dL, years, and 1 for male.
    """
    volume, gene, proteins, clinical = raw[:, :1], raw[:, 1:2], raw[:, 2:5], raw[:, 5:]
    gene = gene.clamp(PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN)
    return torch.cat([torch.log1p(volume / 1000.0), torch.logit(gene), proteins.log(), clinical], dim=1)


def bits(present: torch.Tensor) -> torch.Tensor:
    """Return the number of each subset: booleans (N, k) → (N,), the first column counts 1, the second 2, the third 4."""
    return (present.long() * (2 ** torch.arange(present.shape[1]))).sum(1)


def modalities_of(present: torch.Tensor) -> torch.Tensor:
    """Return which modalities have any of their features: (N, features) → (N, modalities), booleans."""
    return torch.stack([part.any(1) for part in torch.split(present, _SIZES, dim=1)], dim=1)


class LateFusion(nn.Module):
    """Raw features, NaN where missing → `Fused`. All tensors are double, so that a report's figures add up."""

    def __init__(self, replicates: int = REPLICATES) -> None:
        super().__init__()
        for name, size in (("mean", 7), ("scale", 7), ("lowest", 7), ("highest", 7)):
            self.register_buffer(name, torch.zeros(size, dtype=torch.double))
        for name, features in MODALITIES.items():
            shape = (replicates, 2 ** len(features), 1 + len(features))
            self.register_buffer(name, torch.zeros(shape, dtype=torch.double))
        shape = (replicates, 2 ** len(MODALITIES), 1 + len(MODALITIES))
        self.register_buffer("fusion", torch.zeros(shape, dtype=torch.double))

    def forward(self, raw: torch.Tensor) -> Fused:
        features = transformed(raw)
        z, present = self.standardised(features)
        parts, logits = self.modality_logits(z, present)
        weights = self.get_buffer("fusion")[:, bits(modalities_of(present))]  # (R, N, 1 + modalities)
        fused = weights[..., 0] + (weights[..., 1:] * logits).sum(-1)
        first = weights[0]
        scale = first[:, 1:].repeat_interleave(torch.tensor(_SIZES), dim=1)
        contributions = scale * torch.cat([part[0] for part in parts], dim=1)
        outside = (features < self.get_buffer("lowest")) | (features > self.get_buffer("highest"))
        return Fused(fused.T, fused[0] - contributions.sum(1), contributions, outside)

    def standardised(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features held within the training data's range, in its standard deviations from its mean, 0 where
        missing; and where they are present."""
        present = ~features.isnan()
        held = features.clamp(self.get_buffer("lowest"), self.get_buffer("highest"))
        z = (held - self.get_buffer("mean")) / self.get_buffer("scale")
        return torch.where(present, z, 0.0), present

    def modality_logits(self, z: torch.Tensor, present: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return each modality's terms (R, N, its features), and all modalities' logits (R, N, modalities)."""
        terms, logits = [], []
        for name, values, there in zip(
            MODALITIES, torch.split(z, _SIZES, 1), torch.split(present, _SIZES, 1), strict=True
        ):
            weights = self.get_buffer(name)[:, bits(there)]
            terms.append(weights[..., 1:] * values)
            logits.append(weights[..., 0] + terms[-1].sum(-1))
        return terms, torch.stack(logits, dim=-1)


_SIZES = [len(features) for features in MODALITIES.values()]
