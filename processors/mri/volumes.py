"""Training volumes of `mri`: a real head, moved and bent, in its own intensities or in made-up ones, with lesions or none.

Lesions, deformations, bias, blur and noise are those of `processors.segmentation`. New here: real T1 intensities (kept, or
carried through a random curve to another weighting), brains cut out too tightly or too widely, and mirrored heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from processors.mri.heads import DEPTH_OFFSET, Head
from processors.segmentation.anatomy import FloatArray
from processors.segmentation.deformation import TRAINING, Deformation, Range, draw_deformation
from processors.segmentation.grid import Shape
from processors.segmentation.lesions import Lesion, place_lesions
from processors.segmentation.synthesis import BLUR_VOXELS, WEIGHTINGS, Subject, blurred, grid_points, paint

#: How often a volume has the head's own T1, carried through a curve or not; else tissues get single intensities.
REAL_SHARE = 0.7
#: Of those, how often it stays a T1.
T1_SHARE = 0.6
NOISE: Range = (0.0, 0.04)
#: Where the brain is cut, in mm of depth: negative leaves some of its surroundings.
CUT_MM: Range = (-4.0, 1.5)


@dataclass(frozen=True, slots=True)
class HeadSubject(Subject):
    """`curve`: values of the volume at T1 0, CSF, grey, white and 1.5; None for single intensities by tissue.
    `cut`: depth in mm at which the brain is cut out. `sharpness`: exponent of the tissue shares."""

    curve: tuple[float, ...] | None
    cut: float
    sharpness: float

    def _clean(self, shape: Shape, affine: FloatArray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        head = cast(Head, self.anatomy)
        points, bias = self.deformation.apply(grid_points(shape, affine))
        t1, grey, white, _, depth = head.sample(points)
        brain = (depth > self.cut + DEPTH_OFFSET).float()
        image = self._tissue_image(t1, grey, white, brain) if self.curve is None else self._through_curve(t1, head)
        return (image * brain).clamp_(min=0.0), torch.stack([t1, grey, white, brain]), bias

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
    """Draw a volume of this head, from the training family of deformations."""
    real = bool(rng.random() < REAL_SHARE)
    weighting = "T1" if real and rng.random() < T1_SHARE else str(rng.choice(list(WEIGHTINGS), p=[0.5, 0.25, 0.25]))
    csf, grey, white = (float(rng.uniform(*bounds)) for bounds in WEIGHTINGS[weighting])
    if real and weighting == "T1":
        # The scanner's own contrast between the tissues, a little stretched.
        csf, grey, white = (level * float(rng.uniform(0.88, 1.12)) for level in head.levels)
        csf = float(rng.uniform(0.02, csf))
    tissues = (csf, grey, white)
    tissue_range = max(tissues) - min(tissues)
    low, high = csf * float(rng.uniform(0.0, 0.8)), white + (white - grey) * float(rng.uniform(0.5, 2.5))
    return HeadSubject(
        anatomy=head,
        deformation=_mirrored(draw_deformation(TRAINING, rng), rng),
        weighting=weighting,
        tissues=tissues,
        detail=float(rng.uniform(0.0, 0.3)),
        blur=float(rng.uniform(*BLUR_VOXELS)),
        noise=float(rng.uniform(*NOISE)) * tissue_range,
        curve=(low, *tissues, max(high, 0.0)) if real else None,
        cut=float(rng.uniform(*CUT_MM)) if head.outside else float(rng.uniform(0.0, CUT_MM[1])),
        sharpness=float(rng.uniform(1.0, 3.0)),
    )


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
