"""Made-up MR volumes with known lesions: real anatomy, deformed, given another contrast, biased, blurred and noised.

A `Subject` is one draw of everything but the grid and the lesions, so that a patch and the whole volume of one subject
agree; `render` looks at it through a grid. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from processors.segmentation.anatomy import CENTRE, Anatomy, FloatArray
from processors.segmentation.deformation import Deformation, Family, Range, draw_deformation
from processors.segmentation.grid import Shape, Statistics, brain_statistics
from processors.segmentation.lesions import Lesion, place_lesions

#: (CSF, grey, white) intensity ranges of the three weightings that a volume may mimic.
WEIGHTINGS: dict[str, tuple[Range, Range, Range]] = {
    "T1": ((0.05, 0.30), (0.45, 0.65), (0.75, 1.00)),
    "T2": ((0.85, 1.00), (0.50, 0.70), (0.20, 0.40)),
    "FLAIR": ((0.05, 0.20), (0.70, 0.95), (0.45, 0.60)),
}
WEIGHTINGS_SHARE = (0.5, 0.25, 0.25)
NOISE: Range = (0.01, 0.05)
BLUR_VOXELS: Range = (0.30, 0.65)
DETAIL: Range = (0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Phantom:
    """A made-up volume: `image` and `truth` (1 = lesion) on one grid."""

    image: FloatArray
    truth: NDArray[np.uint8]
    lesions: list[Lesion]


@dataclass(frozen=True, slots=True)
class Subject:
    """`tissues`: intensity of CSF, grey and white matter. `noise`, in the same unit. `blur`: sigma in voxels."""

    anatomy: Anatomy
    deformation: Deformation
    weighting: str
    tissues: tuple[float, float, float]
    detail: float
    blur: float
    noise: float

    @property
    def tissue_range(self) -> float:
        return max(self.tissues) - min(self.tissues)

    def render(
        self, shape: Shape, affine: FloatArray, volumes_ml: list[float], rng: np.random.Generator, cortex: bool = False
    ) -> Phantom:
        """The subject on a grid, with lesions of these volumes in ml; with `cortex` they may begin in grey matter too."""
        clean, maps, bias = self._clean(shape, affine)
        spacing = np.linalg.norm(affine[:3, :3], axis=0).astype(np.float32)
        tissue, white = (maps[1] + maps[2]).numpy(), maps[2].numpy()
        lesions = place_lesions(tissue, tissue if cortex else white, spacing, volumes_ml, rng)
        truth, painted = np.zeros(shape, dtype=np.uint8), clean.clone()
        for lesion in lesions:
            truth.flat[lesion.voxels] = 1
            paint(painted.view(-1), lesion, self.tissue_range, rng)
        image = self._seen(clean, painted) * bias
        return Phantom(self._noised(image, maps[3] > 0.5, rng), truth, lesions)

    def statistics(self) -> Statistics:
        """Estimate `brain_statistics` of the whole volume, from a coarse grid without lesions."""
        affine = np.diag([6.0, 6.0, 6.0, 1.0]).astype(np.float32)
        affine[:3, 3] = CENTRE - 6.0 * np.array([15.5, 18.5, 15.5])
        clean, maps, bias = self._clean((32, 38, 32), affine)
        seen: FloatArray = (clean * bias * (maps[3] > 0.5)).numpy()
        return brain_statistics(seen)

    def _clean(self, shape: Shape, affine: FloatArray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Intensities before lesions, blur and noise; the anatomy's four maps; the bias."""
        points, bias = self.deformation.apply(grid_points(shape, affine))
        maps = self.anatomy.sample(points)
        t1, grey, white, mask = maps
        csf = (mask - grey - white).clamp(min=0.0)
        share = 1.0 / (csf + grey + white).clamp(min=0.05)
        dark, middle, bright = self.tissues
        image = (dark * csf + middle * grey + bright * white) * share * mask
        # The average brain's own fine structure, which tissue shares alone would lose.
        image += self.detail * self.tissue_range * (t1 - self.anatomy.t1_mean) * mask
        return image.clamp_(min=0.0), maps, bias

    def _seen(self, clean: torch.Tensor, painted: torch.Tensor) -> torch.Tensor:
        """The anatomy with lesions painted in, at the scanner's resolution. `clean` is without them."""
        return blurred(painted, self.blur)

    def _noised(self, image: torch.Tensor, inside: torch.Tensor, rng: np.random.Generator) -> FloatArray:
        """Rician noise within the brain; outside it is zero, as brain extraction leaves it."""
        noised = np.zeros(tuple(image.shape), dtype=np.float32)
        signal = image[inside].numpy()
        real, imaginary = rng.standard_normal((2, signal.size), dtype=np.float32) * np.float32(self.noise)
        noised[inside.numpy()] = np.hypot(signal + real, imaginary)
        return noised


def draw_subject(
    anatomy: Anatomy, family: Family, rng: np.random.Generator, shares: tuple[float, float, float] = WEIGHTINGS_SHARE
) -> Subject:
    """Draw a subject of the family. `shares`: how often it has each of WEIGHTINGS."""
    weighting = str(rng.choice(list(WEIGHTINGS), p=shares))
    csf, grey, white = (float(rng.uniform(*bounds)) for bounds in WEIGHTINGS[weighting])
    tissues = (csf, grey, white)
    tissue_range = max(tissues) - min(tissues)
    return Subject(
        anatomy=anatomy,
        deformation=draw_deformation(family, rng),
        weighting=weighting,
        tissues=tissues,
        detail=float(rng.uniform(*DETAIL)),
        blur=float(rng.uniform(*BLUR_VOXELS)),
        noise=float(rng.uniform(*NOISE)) * tissue_range,
    )


def grid_points(shape: Shape, affine: FloatArray) -> torch.Tensor:
    """World coordinates of every voxel, (X, Y, Z, 3)."""
    matrix = torch.from_numpy(affine)
    axes = [torch.arange(size, dtype=torch.float32)[:, None] * matrix[:3, axis] for axis, size in enumerate(shape)]
    return axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :] + matrix[:3, 3]


def paint(image: torch.Tensor, lesion: Lesion, tissue_range: float, rng: np.random.Generator) -> None:
    """Shift the lesion's voxels up or down by its contrast; down only where that leaves a signal."""
    voxels = torch.from_numpy(lesion.voxels)
    shift = lesion.contrast * tissue_range
    darkens = bool(rng.random() < 0.5) and float(image[voxels].mean()) - shift > 0.03
    texture = torch.from_numpy(rng.uniform(0.9, 1.1, voxels.numel()).astype(np.float32))
    image[voxels] = (image[voxels] + (-shift if darkens else shift) * texture).clamp(min=0.0)


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian over three voxels along each axis: enough for sigmas below 0.7."""
    beside = float(np.exp(-1.0 / (2.0 * sigma**2)))
    for axis, size in enumerate(image.shape):
        spread = image.clone()
        spread.narrow(axis, 1, size - 1).add_(image.narrow(axis, 0, size - 1), alpha=beside)
        spread.narrow(axis, 0, size - 1).add_(image.narrow(axis, 1, size - 1), alpha=beside)
        image = spread.div_(1.0 + 2.0 * beside)
    return image
