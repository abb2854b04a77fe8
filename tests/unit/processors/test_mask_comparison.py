"""Two masks of one volume: Dice, volumes in millilitres, and a picture of where they differ most."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from processors.mask_comparison import PALETTE, compare_masks, dice_of, worst_level
from schemas.errors import InvalidInput
from tests.harness.volumes import Array, write_nifti

SHAPE = (20, 16, 12)
#: Voxels of 2 x 2 x 5 mm: 0.02 ml each.
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])


def mask(*boxes: tuple[slice, slice, slice], label: int = 1) -> Array:
    data = np.zeros(SHAPE, dtype=np.uint8)
    for box in boxes:
        data[box] = label
    return data


FOUR = (slice(2, 6), slice(2, 6), slice(2, 6))
SHIFTED = (slice(2, 6), slice(2, 6), slice(4, 8))


def both(folder: Path, before: Array, after: Array, affine: Array = AFFINE) -> tuple[Path, Path]:
    return write_nifti(folder / "before.nii.gz", before, AFFINE), write_nifti(folder / "after.nii.gz", after, affine)


def test_dice_and_volumes_are_exact(tmp_path: Path) -> None:
    found = compare_masks(*both(tmp_path, mask(FOUR), mask(SHIFTED)))
    assert found.dice == pytest.approx(2 * 32 / 128)
    assert found.before_ml == found.after_ml == pytest.approx(64 * 0.02)
    assert found.differing == 64


def test_equal_masks_have_no_picture(tmp_path: Path) -> None:
    found = compare_masks(*both(tmp_path, mask(FOUR), mask(FOUR)))
    assert (found.dice, found.differing, found.level, found.picture) == (1.0, 0, None, b"")


def test_two_empty_masks_are_equal_and_one_empty_mask_has_a_dice_of_0(tmp_path: Path) -> None:
    assert compare_masks(*both(tmp_path, mask(), mask())).dice == 1.0
    assert compare_masks(*both(tmp_path, mask(FOUR), mask())).dice == 0.0


def test_each_label_has_its_own_dice(tmp_path: Path) -> None:
    other = (slice(10, 14), slice(8, 12), slice(2, 6))
    before = mask(FOUR) + mask(other, label=2)
    after = mask(SHIFTED) + mask(other, label=2)
    found = compare_masks(*both(tmp_path, before, after))
    assert found.labels == {1: pytest.approx(0.5), 2: 1.0}
    assert found.dice == pytest.approx(0.75)


def test_the_picture_is_the_middle_slice_of_the_largest_difference(tmp_path: Path) -> None:
    wide_but_thin = (slice(8, 18), slice(2, 14), slice(0, 1))  # 120 voxels in one slice
    deep = (slice(2, 8), slice(2, 8), slice(4, 11))  # 252 voxels, 36 a slice
    assert worst_level(mask(wide_but_thin, deep).astype(bool)) == 7


def test_the_picture_shows_both_masks_in_colours_of_their_own(tmp_path: Path) -> None:
    before, after = (
        mask((slice(6, 8), slice(6, 8), slice(3, 4))),
        mask((slice(7, 9), slice(6, 8), slice(3, 4))),
    )
    found = compare_masks(*both(tmp_path, before, after))
    assert found.level == 3
    pixels = decoded(found.picture)
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    by_colour = {tuple(map(int, colour)): int(count) for colour, count in zip(colours, counts, strict=True)}
    assert [by_colour[tuple(map(int, colour))] for colour in PALETTE[1:]] == [2, 2, 2]
    assert found.width_mm / pixels.shape[1] == found.height_mm / pixels.shape[0] == 2.0


def test_masks_of_different_volumes_are_not_compared(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 4.0
    with pytest.raises(InvalidInput, match="other places"):
        compare_masks(*both(tmp_path, mask(FOUR), mask(FOUR), moved))
    with pytest.raises(InvalidInput, match="20 x 16 x 12 and 12 x 16 x 20"):
        compare_masks(*both(tmp_path, mask(FOUR), mask(FOUR).transpose(2, 1, 0)))


def test_values_that_are_no_labels_are_background(tmp_path: Path) -> None:
    data = mask(FOUR).astype(np.float32)
    data[0, 0, 0], data[1, 0, 0] = np.nan, -3.0
    found = compare_masks(
        write_nifti(tmp_path / "a.nii", data, AFFINE), write_nifti(tmp_path / "b.nii", mask(FOUR), AFFINE)
    )
    assert found.dice == 1.0


def test_dice_is_symmetric() -> None:
    one, other = mask(FOUR) > 0, mask(SHIFTED) > 0
    assert dice_of(one, other) == dice_of(other, one)


def decoded(picture: bytes) -> Array:
    """Decode what `png` writes, and check the sums."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, sides = 8, b"", (0, 0)
    while at < len(picture):
        (size,) = struct.unpack_from(">I", picture, at)
        name, body = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", picture, at + 8 + size)[0] == zlib.crc32(name + body)
        if name == b"IHDR":
            sides = struct.unpack_from(">II", body)
        data += body if name == b"IDAT" else b""
        at += 12 + size
    width, height = sides
    rows = np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(height, 1 + width * 3)
    return rows[:, 1:].reshape(height, width, 3)
