"""Training volumes of `mri`: a made-up head of a white ball in a grey shell, with a ventricle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from processors.mri.heads import DEPTH_OFFSET, Head
from processors.mri.volumes import HeadSubject, draw_head_subject, fluid_point
from processors.segmentation.anatomy import CENTRE, FloatArray
from processors.segmentation.synthesis import grid_points

SIDE = 60
#: Looks at the whole head, 2 mm a voxel.
AFFINE: FloatArray = np.diag([2.0, 2.0, 2.0, 1.0]).astype(np.float32)
AFFINE[:3, 3] = CENTRE - SIDE


@pytest.fixture(scope="module")
def head() -> Head:
    """White within 35 mm, grey to 50 mm, fluid to 54 mm and within 10 mm; 2 mm a voxel."""
    axis = 2.0 * (np.arange(SIDE) - SIDE / 2)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    white, grey = (radius < 35) & (radius > 10), (radius >= 35) & (radius < 50)
    brain, depth = radius < 54, 54 - radius
    t1 = 0.3 * brain + 0.4 * grey + 0.7 * white
    maps = np.stack([t1, grey, white, brain, np.maximum(depth + DEPTH_OFFSET, 0.0)]).astype(np.float32)
    return Head(torch.from_numpy(maps)[None], AFFINE.copy(), 0.8, "ball", (0.3, 0.7, 1.0), outside=False)


def subjects(head: Head, count: int) -> list[HeadSubject]:
    return [draw_head_subject(head, np.random.default_rng([1, each])) for each in range(count)]


def test_a_head_swells_and_bends_without_folding(head: Head) -> None:
    for subject in subjects(head, 8):
        moved, _ = subject.deformation.apply(grid_points((SIDE,) * 3, AFFINE))
        volumes = torch.linalg.det(torch.stack(_steps(moved), -1))
        # All of one sign: that of the affine part, which may mirror.
        folded = volumes * float(np.sign(np.linalg.det(subject.deformation.matrix))) <= 0
        assert float(folded.float().mean()) < 0.001


def _steps(moved: torch.Tensor) -> list[torch.Tensor]:
    """How far the next voxel along each axis lies, for all voxels that have one along every axis."""
    here = moved[:-1, :-1, :-1]
    return [moved[1:, :-1, :-1] - here, moved[:-1, 1:, :-1] - here, moved[:-1, :-1, 1:] - here]


def test_what_is_trimmed_is_background_and_has_no_lesion(head: Head) -> None:
    drawn = replace(subjects(head, 1)[0], trim=(0.5, 20.0), cut=0.0, curve=(0.1, 0.3, 0.7, 1.0, 1.4))
    rng = np.random.default_rng(2)
    whole = replace(drawn, trim=None).render((SIDE,) * 3, AFFINE, [], np.random.default_rng(2))
    trimmed = drawn.render((SIDE,) * 3, AFFINE, [5.0, 5.0], rng, cortex=True)
    cut = (whole.image > 0) & (trimmed.image == 0)
    assert cut.sum() > 1000
    assert trimmed.truth.any()
    assert not trimmed.truth[cut].any()


def test_sharpening_changes_the_anatomy_and_leaves_the_background_alone(head: Head) -> None:
    drawn = replace(subjects(head, 1)[0], trim=None, noise=0.0, curve=(0.1, 0.3, 0.7, 1.0, 1.4))
    plain, sharp = (
        replace(drawn, sharpening=value).render((SIDE,) * 3, AFFINE, [], np.random.default_rng(3)).image
        for value in (0.0, 1.0)
    )
    assert not sharp[plain == 0].any()
    assert np.abs(np.diff(sharp, axis=0)).sum() > 1.05 * np.abs(np.diff(plain, axis=0)).sum()


def test_a_point_of_fluid_is_fluid(head: Head) -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        radius = float(np.linalg.norm(fluid_point(head, rng) - CENTRE))
        assert radius <= 11.0 or 49.0 <= radius <= 55.0
