"""The model's view of a volume, and the way back to the file's own voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from processors.segmentation.grid import MAX_BOX_VOXELS, to_model
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.harness.volumes import Array, ball


def brain(affine: Array | None = None) -> Volume:
    return Volume(ball((60, 52, 48), 18.0).astype(np.float32), np.eye(4) if affine is None else affine)


def stored_otherwise(volume: Volume, order: tuple[int, int, int], flips: tuple[int, int, int]) -> Volume:
    """The same brain in the same place, its axes in another order and direction."""
    data, affine = volume.data.transpose(order), volume.affine[:, [*order, 3]].copy()
    for axis in np.flatnonzero(np.array(flips) < 0):
        affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
        affine[:3, axis] *= -1
        data = np.flip(data, int(axis))
    return Volume(np.ascontiguousarray(data), affine)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_the_network_sees_the_same_brain_however_it_is_stored(
    order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    other = to_model(stored_otherwise(brain(), order, flips))
    assert torch.equal(other.box, to_model(brain()).box)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_a_map_comes_back_to_the_voxels_it_was_made_from(
    order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    volume = stored_otherwise(brain(), order, flips)
    view = to_model(volume)
    bright = (volume.data > 800).astype(np.float32)
    np.testing.assert_array_equal(view.back(torch.from_numpy(view.there(bright))), bright)


def test_a_coarser_volume_is_resampled_and_brought_back() -> None:
    volume = brain(np.diag([2.0, 1.0, 1.5, 1.0]))
    view = to_model(volume)
    assert view.model_shape == (120, 52, 72)
    inside = (volume.data > 0).astype(np.float32)
    back = view.back(torch.from_numpy(view.there(inside))) > 0.5
    assert back.shape == volume.data.shape
    assert (back == (inside > 0)).mean() > 0.99


def test_spacings_near_the_models_are_left_alone() -> None:
    assert to_model(brain(np.diag([0.9, 1.1, 1.0, 1.0]))).model_shape == (60, 52, 48)


def test_the_box_holds_the_whole_brain_and_little_else() -> None:
    view = to_model(brain())
    assert all(side % 8 == 0 for side in view.box.shape[2:])
    assert max(view.size) <= 2 * 18 + 1 + 2 * 4


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1000.0])
def test_the_brain_is_scored_about_zero_whatever_its_unit(unit: float) -> None:
    volume = brain()
    other = Volume(volume.data * np.float32(unit), volume.affine)
    assert torch.allclose(to_model(other).box, to_model(volume).box, atol=1e-3)
    scored = to_model(volume).there(volume.data) > 0
    assert abs(float(to_model(volume).box[0, 0].numpy()[scored].mean())) < 0.1


def test_a_volume_without_a_brain_is_refused() -> None:
    specks = np.zeros((40, 40, 40), dtype=np.float32)
    specks[::10, ::10, ::10] = 100.0
    with pytest.raises(InvalidInput, match="no brain"):
        to_model(Volume(specks, np.eye(4)))


def test_far_more_than_a_head_is_refused() -> None:
    side = round(MAX_BOX_VOXELS ** (1 / 3) / 8)
    with pytest.raises(PayloadTooLarge, match="more than a"):
        to_model(Volume(np.random.default_rng(0).random((side, side, side), dtype=np.float32), np.diag([9.0, 9, 9, 1])))
