"""Training volumes of `mri`: a real head, moved and bent, in its own intensities or in made-up ones, with lesions or none.

Lesions, deformations, bias, blur and noise are those of `processors.segmentation`. New here: real T1 intensities (kept, or
carried through a random curve to another weighting), brains cut out too tightly or too widely, and mirrored heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from processors.mri.heads import DEPTH_OFFSET, Head
from processors.segmentation.anatomy import CENTRE, Anatomy, FloatArray
from processors.segmentation.deformation import (
    LATTICE_MM,
    LATTICE_POINTS,
    TRAINING,
    Deformation,
    Range,
    draw_deformation,
)
from processors.segmentation.grid import Shape
from processors.segmentation.lesions import Lesion, place_lesions
from processors.segmentation.synthesis import BLUR_VOXELS, WEIGHTINGS, Subject, blurred, grid_points, paint

#: How often a volume has the head's own T1, carried through a curve or not; else tissues get single intensities.
REAL_SHARE = 0.75
#: How often a volume mimics each weighting.
WEIGHTINGS_SHARE = {"T1": 0.6, "T2": 0.25, "FLAIR": 0.15}
NOISE: Range = (0.0, 0.04)
#: Where the brain is cut, in mm of depth: negative leaves some of its surroundings.
CUT_MM: Range = (-4.0, 1.5)
#: How often what is dark in sulci is cut out too, as some brain extractions do, and how deep.
TRIM_SHARE = 0.4
TRIM_MM: Range = (2.0, 25.0)
#: How often an anatomy is sharpened (else blurred), and by how much of its difference to a blurred copy.
SHARP_SHARE = 0.6
SHARPENING: Range = (0.0, 1.2)
#: Heads bend further than the average brain of `segmentation` does, in the same band.
BENT = replace(TRAINING, name="bent", amplitude_mm=(0.8, 3.0))
#: Round points of fluid and of tissue the head swells or shrinks: the most of them, sigma in mm, factor at the middle less one.
SWELLINGS = 4
SWELLING_MM: Range = (9.0, 18.0)
SWELLING: Range = (-0.45, 0.8)


@dataclass(frozen=True, slots=True)
class HeadSubject(Subject):
    """`curve`: values of the volume at T1 0, CSF, grey, white and 1.5; None for single intensities by tissue.
    `cut`: depth in mm at which the brain is cut out. `sharpness`: exponent of the tissue shares. `sharpening`: None to blur the
    anatomy. `trim`: T1 under which, and depth in mm down to which, the brain is cut out too."""

    curve: tuple[float, ...] | None
    cut: float
    sharpness: float
    sharpening: float | None
    trim: tuple[float, float] | None

    def _clean(self, shape: Shape, affine: FloatArray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        head = cast(Head, self.anatomy)
        points, bias = self.deformation.apply(grid_points(shape, affine))
        t1, grey, white, _, depth = head.sample(points)
        inside = depth > self.cut + DEPTH_OFFSET
        if self.trim is not None:
            inside &= (t1 > self.trim[0]) | (depth > self.trim[1] + DEPTH_OFFSET)
        brain = inside.float()
        image = self._tissue_image(t1, grey, white, brain) if self.curve is None else self._through_curve(t1, head)
        return (image * brain).clamp_(min=0.0), torch.stack([t1, grey * brain, white * brain, brain]), bias

    def _seen(self, clean: torch.Tensor, painted: torch.Tensor) -> torch.Tensor:
        """Lesions are blurred as in `insert_lesions`; the anatomy, resampled and so blurred already, is sharpened or not."""
        change = blurred(painted - clean, self.blur)
        if self.sharpening is None:
            return (blurred(clean, self.blur) + change).clamp_(min=0.0)
        brain = (clean > 0).float()
        around = blurred(clean, BLUR_VOXELS[1]) / blurred(brain, BLUR_VOXELS[1]).clamp_(min=0.05)
        return (clean + self.sharpening * (clean - around) * brain + change).clamp_(min=0.0)

    def _through_curve(self, t1: torch.Tensor, head: Head) -> torch.Tensor:
        """The real T1 through a piecewise linear curve."""
        assert self.curve is not None
        knots = (0.0, *head.levels, 1.5)
        image = torch.full_like(t1, self.curve[0])
        for low, high, start, stop in zip(knots, knots[1:], self.curve, self.curve[1:], strict=False):
            image += (t1 - low).clamp(0.0, high - low) * ((stop - start) / (high - low))
        return image

    def _tissue_image(
        self, t1: torch.Tensor, grey: torch.Tensor, white: torch.Tensor, brain: torch.Tensor
    ) -> torch.Tensor:
        csf = (brain - grey - white).clamp(min=0.0)
        shares = torch.stack([csf, grey, white]).clamp(min=0.0) ** self.sharpness
        shares = shares / shares.sum(0).clamp(min=0.05)
        image = (shares * torch.tensor(self.tissues)[:, None, None, None]).sum(0)
        return image + self.detail * self.tissue_range * (t1 - self.anatomy.t1_mean)


@dataclass(frozen=True, slots=True)
class RealVolume:
    """A real T1 with lesions put into it: `image`, `truth` (1 = lesion), `affine` to millimetres."""

    image: FloatArray
    truth: NDArray[np.uint8]
    affine: FloatArray
    lesions: list[Lesion]


def draw_head_subject(head: Head, rng: np.random.Generator) -> HeadSubject:
    """Draw a volume of this head."""
    real = bool(rng.random() < REAL_SHARE)
    weighting = str(rng.choice(list(WEIGHTINGS_SHARE), p=list(WEIGHTINGS_SHARE.values())))
    csf, grey, white = (float(rng.uniform(*bounds)) for bounds in WEIGHTINGS[weighting])
    if real and weighting == "T1" and rng.random() < 0.5:
        # The scanner's own contrast between the tissues, a little stretched.
        csf, grey, white = (level * float(rng.uniform(0.88, 1.12)) for level in head.levels)
        csf = float(rng.uniform(0.02, csf))
    tissues = (csf, grey, white)
    tissue_range = max(tissues) - min(tissues)
    low, high = csf * float(rng.uniform(0.0, 0.8)), white + (white - grey) * float(rng.uniform(0.5, 2.5))
    deformation = _mirrored(draw_deformation(BENT, rng), rng)
    _swell(deformation, head, rng)
    trimmed = rng.random() < TRIM_SHARE
    dark = head.levels[0] + float(rng.uniform(0.0, 0.7)) * (head.levels[1] - head.levels[0])
    return HeadSubject(
        anatomy=head,
        deformation=deformation,
        weighting=weighting,
        tissues=tissues,
        detail=float(rng.uniform(0.0, 0.3)),
        blur=float(rng.uniform(*BLUR_VOXELS)),
        noise=float(rng.uniform(*NOISE)) * tissue_range,
        curve=(low, *tissues, max(high, 0.0)) if real else None,
        cut=float(rng.uniform(*CUT_MM)) if head.outside else float(rng.uniform(0.0, CUT_MM[1])),
        sharpness=float(rng.uniform(1.0, 3.0)),
        sharpening=float(rng.uniform(*SHARPENING)) if rng.random() < SHARP_SHARE else None,
        trim=(dark, float(rng.uniform(*TRIM_MM))) if trimmed else None,
    )


def fluid_point(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    """A random point of a ventricle, a cistern or a sulcus. Of a `Head` the deeper are likelier."""
    grey, white, mask = anatomy.maps[0, 1:4].numpy()
    trials = rng.integers(0, mask.size, 4000)
    fluid = trials[(mask.flat[trials] > 0.5) & (grey.flat[trials] + white.flat[trials] < 0.3)]
    if fluid.size == 0:
        return anatomy.draw_point(rng)
    chosen = fluid[: int(rng.integers(1, 6))]
    deepest = chosen[int(anatomy.maps[0, 4].numpy().flat[chosen].argmax())] if isinstance(anatomy, Head) else chosen[0]
    voxel = np.array(np.unravel_index(deepest, mask.shape))
    point: FloatArray = (anatomy.affine[:3, :3] @ voxel + anatomy.affine[:3, 3]).astype(np.float32)
    return point


def insert_lesions(head: Head, volumes_ml: list[float], rng: np.random.Generator) -> RealVolume:
    """The head's own T1, brain extracted, with lesions that begin in white matter; all else is as the scanner gave it."""
    t1, grey, white, mask, _ = (channel.numpy() for channel in head.maps[0])
    spacing = np.linalg.norm(head.affine[:3, :3], axis=0).astype(np.float32)
    image = torch.from_numpy(t1 * mask)
    lesions = place_lesions(grey + white, white, spacing, volumes_ml, rng)
    painted, truth = image.clone(), np.zeros(t1.shape, dtype=np.uint8)
    for lesion in lesions:
        truth.flat[lesion.voxels] = 1
        paint(painted.view(-1), lesion, head.tissue_range, rng)
    change = blurred(painted - image, float(rng.uniform(*BLUR_VOXELS)))
    return RealVolume(((image + change).clamp(min=0.0) * torch.from_numpy(mask)).numpy(), truth, head.affine, lesions)


def _mirrored(deformation: Deformation, rng: np.random.Generator) -> Deformation:
    """Left and right swapped, half of the time: heads differ in that too."""
    if rng.random() < 0.5:
        return deformation
    return Deformation((np.diag([-1.0, 1.0, 1.0]) @ deformation.matrix).astype(np.float32), deformation.lattice)


def _swell(deformation: Deformation, head: Head, rng: np.random.Generator) -> None:
    """Let the surroundings of a few points grow or shrink: ventricles, cisterns and sulci differ most between people."""
    axis = torch.from_numpy(CENTRE)[:, None] + LATTICE_MM * (torch.arange(LATTICE_POINTS) - (LATTICE_POINTS - 1) / 2.0)
    for _ in range(int(rng.integers(SWELLINGS + 1))):
        point = fluid_point(head, rng) if rng.random() < 0.7 else head.draw_point(rng)
        middle = torch.from_numpy(deformation.locate(point))
        sigma, factor = float(rng.uniform(*SWELLING_MM)), float(rng.uniform(*SWELLING))
        away = [axis[each] - middle[each] for each in range(3)]
        near = [torch.exp(-(each**2) / (2.0 * sigma**2)) for each in away]
        bump = factor * near[0][:, None, None] * near[1][None, :, None] * near[2][None, None, :]
        # To the anatomy's axes, as the affine part does.
        offset = torch.stack(torch.meshgrid(*away, indexing="ij"), -1) @ torch.from_numpy(deformation.matrix).T
        deformation.lattice[0, :3] += (bump[..., None] * offset).movedim(-1, 0)
