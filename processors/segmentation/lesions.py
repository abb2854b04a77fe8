"""Synthetic lesions: irregular blobs of an exact volume, placed in brain tissue, apart from each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]
from torch.nn import functional

from processors.segmentation.anatomy import FloatArray
from processors.segmentation.deformation import rotation

BoolArray = NDArray[np.bool_]

SMALLEST_ML = 0.05
LARGEST_ML = 10.0
#: A lesion differs from the tissue round it by this share of the range between the darkest and the brightest tissue.
CONTRAST: tuple[float, float] = (0.5, 1.0)
#: Share of tissue from which a voxel may belong to a lesion, and from which it may be a lesion's middle.
TISSUE_EDGE = 0.3
TISSUE_CORE = 0.6


@dataclass(frozen=True, slots=True)
class Lesion:
    """`voxels`: flat indices into the volume."""

    voxels: NDArray[np.int64]
    ml: float
    contrast: float


def tercile_bounds() -> list[tuple[float, float]]:
    """Millilitres that cut the log-uniform range of sizes into three equally likely parts: small, medium, large."""
    edges = np.geomspace(SMALLEST_ML, LARGEST_ML, 4)
    return [(float(low), float(high)) for low, high in pairwise(edges)]


def draw_volumes(tercile: int, count: int, rng: np.random.Generator) -> list[float]:
    """`count` lesion sizes in ml, log-uniform within one tercile."""
    low, high = tercile_bounds()[tercile]
    return [float(np.exp(rng.uniform(np.log(low), np.log(high)))) for _ in range(count)]


def place_lesions(
    tissue: FloatArray, core: FloatArray, spacing: FloatArray, volumes_ml: list[float], rng: np.random.Generator
) -> list[Lesion]:
    """Place lesions of these volumes within `tissue` (grey plus white matter share), with their middles in `core` (the share of
    the tissue they begin in). A lesion that finds no room is left out."""
    free: BoolArray = tissue > TISSUE_EDGE
    placed = []
    for volume_ml in sorted(volumes_ml, reverse=True):
        lesion = _place(core, free, spacing, volume_ml, rng)
        if lesion is not None:
            placed.append(lesion)
    return placed


def _place(
    core: FloatArray, free: BoolArray, spacing: FloatArray, volume_ml: float, rng: np.random.Generator
) -> Lesion | None:
    """Place a lesion, and take its voxels and their surroundings out of `free`."""
    count = round(volume_ml * 1000.0 / float(np.prod(spacing)))
    for _ in range(20):
        centre = _draw_centre(core, free, rng)
        if centre is None:
            return None
        reach = np.ceil(2.2 * np.cbrt(volume_ml * 1000.0 * 0.24) / spacing).astype(int) + 2
        low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, core.shape)
        box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
        blob = _grow(free[box], centre - low, spacing, count, rng)
        if blob is not None:
            free[box] &= ~ndimage.binary_dilation(blob, iterations=2)
            voxels = np.ravel_multi_index(tuple((np.argwhere(blob) + low).T), core.shape)
            ml = voxels.size * float(np.prod(spacing)) / 1000.0
            return Lesion(voxels, ml, float(rng.uniform(*CONTRAST)))
    return None


def _draw_centre(core: FloatArray, free: BoolArray, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """A random free voxel deep in the core's tissue, by trial: far cheaper than listing them all."""
    trials = rng.integers(0, core.size, 400)
    good = trials[(core.flat[trials] > TISSUE_CORE) & free.flat[trials]]
    return None if good.size == 0 else np.array(np.unravel_index(good[0], core.shape))


def _grow(
    free: BoolArray, centre: NDArray[np.int64], spacing: FloatArray, count: int, rng: np.random.Generator
) -> BoolArray | None:
    """The `count` free voxels nearest to the centre by a warped distance, if they hang together."""
    offsets = [
        (np.arange(size) - middle) * step for size, middle, step in zip(free.shape, centre, spacing, strict=True)
    ]
    points = np.stack(np.meshgrid(*offsets, indexing="ij"), -1).astype(np.float32)
    turn = rotation(0, rng.uniform(0, np.pi)) @ rotation(2, rng.uniform(0, np.pi))
    stretched = points @ turn * rng.uniform(0.7, 1.4, 3).astype(np.float32)
    distance = np.linalg.norm(stretched, axis=-1) * (1.0 + 0.35 * _smooth_noise(free.shape, rng))
    distance[~free] = np.inf
    if np.isfinite(distance).sum() < count:
        return None
    limit = np.partition(distance.ravel(), count - 1)[count - 1]
    labels, _ = ndimage.label(distance <= limit)
    main = labels[tuple(centre)]
    blob: BoolArray = labels == main
    # A blob cut off by a sulcus or by the box is no longer of the size that was asked for.
    return blob if main and blob.sum() >= 0.9 * count else None


def _smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Return values in -1..1 that change over about a fifth of the box. They make a lesion's outline irregular."""
    coarse = torch.from_numpy(rng.uniform(-1, 1, (1, 1, 6, 6, 6)).astype(np.float32))
    fine: FloatArray = functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0].numpy()
    return fine
