"""The overlay shows a lesion where it is in the patient, whatever way the file's axes lie."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.mri.picture import greys, overlay
from processors.segmentation.volume import Volume
from tests.harness.volumes import ball
from tests.unit.processors.mri.detector import FLIPPED, OBLIQUE

STRAIGHT = np.eye(4)
LAS_TO_PSR = np.array([[0.0, 0.0, -1.0, 9.0], [-1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


#: Room on every side, so that each panel shows the ball in its middle.
BALL = ball((60, 60, 60))


def marked(affine: NDArray[np.float64], towards: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Return a mask of a small ball that lies 10 mm from the middle towards a direction of the patient (R, A, S)."""
    data = BALL
    points = np.stack(np.meshgrid(*(np.arange(side) for side in data.shape), indexing="ij"), -1) @ affine[:3, :3].T
    points -= points[data > 0].mean(0)
    target = 10.0 * np.array(towards)
    near: NDArray[np.uint8] = (np.linalg.norm(points - target, axis=-1) < 3.0).astype(np.uint8)
    return near


def drawn(affine: NDArray[np.float64], mask: NDArray[np.uint8]) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the overlay's coloured pixels (row, column), and its size."""
    volume = Volume(BALL.astype(np.float32), affine)
    content = overlay(greys(volume), mask, affine, np.argwhere(mask), "caption")
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    height, width, _ = shown.shape
    return np.argwhere(shown[..., 0] - shown[..., 2] > 100), (width, height)


@pytest.mark.parametrize(
    "affine", [STRAIGHT, FLIPPED, OBLIQUE, LAS_TO_PSR], ids=["straight", "flipped", "oblique", "PSR"]
)
def test_a_lesion_is_drawn_on_its_side(affine: NDArray[np.float64]) -> None:
    """Right, at the back, high: the patient's right and front are on the left of the panels axial, coronal, sagittal."""
    pixels, (width, _) = drawn(affine, marked(affine, (0.6, -0.6, 0.6)))
    third = width / 3
    sides = []
    for panel in range(3):
        inside = pixels[(pixels[:, 1] >= panel * third) & (pixels[:, 1] < (panel + 1) * third)]
        row, column = inside.mean(0)
        across, down = (column - (panel + 0.5) * third) / third, (row - third / 2) / third
        sides.append((side_of(across, "left", "right"), side_of(down, "top", "bottom")))
    assert sides == [("left", "bottom"), ("left", "top"), ("right", "top")]


def side_of(share: float, before: str, after: str) -> str:
    """Return the side of a panel's middle, from a distance in panels."""
    return "middle" if abs(share) < 0.06 else before if share < 0 else after


def test_without_a_lesion_nothing_is_outlined() -> None:
    pixels, (width, height) = drawn(STRAIGHT, np.zeros(BALL.shape, dtype=np.uint8))
    assert len(pixels) == 0
    assert width > 3 * 300
    assert height > 300


def test_a_hole_in_a_lesion_has_an_outline_of_its_own() -> None:
    mask = np.zeros(BALL.shape, dtype=np.uint8)
    mask[22:34, 22:34, 24:36] = 1
    solid, _ = drawn(STRAIGHT, mask)
    mask[26:30, 26:30, :] = 0
    hollow, _ = drawn(STRAIGHT, mask)
    assert len(hollow) > len(solid)


def test_background_is_black_and_a_single_bright_voxel_does_not_darken_the_rest() -> None:
    data = BALL.astype(np.float32)
    plain = greys(Volume(data, STRAIGHT))
    assert not plain[data == 0].any()
    assert plain[data > 0].min() > 0
    data[20, 20, 20] = 1e6
    assert np.abs(greys(Volume(data, STRAIGHT)).astype(int) - plain).mean() < 2.0
