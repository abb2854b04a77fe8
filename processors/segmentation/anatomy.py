"""The real anatomy that training volumes are made from: the MNI152 average brain that nilearn carries in its package.

Only training, evaluation and the demo's samples come here; a worker needs no nilearn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

#: Middle of the brain in MNI millimetres: deformations turn and scale about it.
CENTRE = np.array([0.0, -18.0, 8.0], dtype=np.float32)

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """`maps`: T1, grey matter, white matter and brain mask, stacked (1, 4, X, Y, Z), 0..1. `affine`: voxel to mm."""

    maps: torch.Tensor
    affine: FloatArray
    #: Mean T1 value of the brain.
    t1_mean: float

    def draw_point(self, rng: np.random.Generator) -> FloatArray:
        """A random point of the brain, in millimetres."""
        mask = self.maps[0, 3].numpy()
        trials = rng.integers(0, mask.size, 200)
        voxel = np.array(np.unravel_index(trials[mask.flat[trials] > 0.5][0], mask.shape))
        point: FloatArray = (self.affine[:3, :3] @ voxel + self.affine[:3, 3]).astype(np.float32)
        return point

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """The four maps at world points of shape (X, Y, Z, 3), as (4, X, Y, Z); zero outside the brain's box."""
        inverse = torch.from_numpy(np.linalg.inv(self.affine).astype(np.float32))
        voxel = points @ inverse[:3, :3].T + inverse[:3, 3]
        size = torch.tensor(self.maps.shape[2:], dtype=torch.float32)
        unit = voxel * (2.0 / (size - 1.0)) - 1.0
        # grid_sample names the last axis first.
        sampled = functional.grid_sample(self.maps, unit.flip(-1)[None], mode="bilinear", align_corners=True)
        return sampled[0]


@cache
def load_anatomy() -> Anatomy:
    """MNI152 at 1 mm, cropped to the brain."""
    from nilearn import datasets  # type: ignore[import-untyped]  # takes as long to import as torch

    images = [
        load(resolution=1)
        for load in (
            datasets.load_mni152_template,
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
            datasets.load_mni152_brain_mask,
        )
    ]
    maps = np.stack([np.asarray(image.dataobj, dtype=np.float32) for image in images])
    inside = np.argwhere(maps[3] > 0)
    low, high = np.maximum(inside.min(0) - 2, 0), inside.max(0) + 3
    box = maps[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    affine = np.asarray(images[0].affine, dtype=np.float32).copy()
    affine[:3, 3] += affine[:3, :3] @ low
    t1_mean = float(box[0][box[3] > 0].mean())
    return Anatomy(torch.from_numpy(np.ascontiguousarray(box))[None], affine, t1_mean)
