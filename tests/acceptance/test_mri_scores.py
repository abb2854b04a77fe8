"""The network of `mri` on a head that it never saw, and on the made-up brains of the older card. Downloads Colin27."""

from __future__ import annotations

from pathlib import Path

import pytest

from processors.mri.card import LEAST_DICE, MOST_FALL, MOST_FALSE_ML, SEGMENTATION_DICE
from processors.mri.evaluate import (
    Masks,
    masks_of_mri,
    on_colin,
    on_family,
    summarised,
    tuned_rule,
    untouched,
)
from processors.segmentation.card import SIZES
from processors.segmentation.evaluate import VOLUMES

pytestmark = pytest.mark.accept

COLIN_VOLUMES = 12


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Masks:
    return masks_of_mri(tmp_path_factory.mktemp("mri"))


def test_an_untouched_head_that_it_never_saw_has_hardly_any_lesion(masks: Masks) -> None:
    found = untouched(masks)
    print(f"\nColin27 untouched: {found.false_ml:.2f} ml false in {found.blobs} blobs, {found.seconds:.1f} s")
    assert found.false_ml <= MOST_FALSE_ML


@pytest.mark.parametrize("size", range(3), ids=SIZES)
def test_lesions_in_a_head_that_it_never_saw_are_outlined_and_better_than_by_thresholding(
    masks: Masks, size: int, tmp_path: Path
) -> None:
    rule = tuned_rule(size, tmp_path)
    row = summarised(size, list(on_colin(masks, size, rule, COLIN_VOLUMES, tmp_path)), rule)
    print(f"\nColin27, {SIZES[size]}: Dice {row.dice}, thresholding {row.baseline:.3f}, gain {row.gain}")
    assert row.dice.mean >= LEAST_DICE[size]
    assert row.gain.low > 0.0


@pytest.mark.parametrize("size", range(3), ids=SIZES)
def test_the_made_up_brains_of_the_older_card_are_outlined_nearly_as_well(
    masks: Masks, size: int, tmp_path: Path
) -> None:
    row = summarised(size, list(on_family(masks, size, VOLUMES, tmp_path)), None)
    print(f"\nMade-up brains, {SIZES[size]}: Dice {row.dice}, segmentation {SEGMENTATION_DICE[size]:.3f}")
    assert row.dice.mean >= SEGMENTATION_DICE[size] - MOST_FALL
