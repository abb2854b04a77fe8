"""A blob of the mask is a lesion only if it reaches the model's peak (docs/adr/0041)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from processors.local import LocalLoadContext
from processors.mri.loading import load_model
from processors.mri.processor import Mri
from processors.mri.segment import lesion_mask
from tests.unit.processors.mri.detector import detector


def test_a_blob_that_does_not_reach_the_models_peak_is_no_lesion(tmp_path: Path) -> None:
    probability = np.zeros((12, 12, 12), dtype=np.float32)
    probability[1:4, 1:4, 1:4] = 0.8
    probability[4, 4, 4] = 0.995
    probability[7:10, 7:10, 7:10] = 0.98
    plain, strict = (
        load_model(LocalLoadContext(Mri, options=detector(tmp_path, **more))) for more in ({}, {"peak": 0.99})
    )
    assert lesion_mask(plain, probability, 0.5).sum() == 27 + 1 + 27
    assert lesion_mask(strict, probability, 0.5).sum() == 27 + 1
    assert not lesion_mask(strict, 0.9 * probability, 0.5).any()
    assert lesion_mask(strict, probability, 0.994).sum() == 1
    assert not lesion_mask(strict, np.zeros_like(probability), 0.5).any()


def test_the_shipped_weights_have_a_peak_and_others_only_if_their_specification_says_so(tmp_path: Path) -> None:
    assert load_model(LocalLoadContext(Mri, options=detector(tmp_path))).peak == 0.0
    assert load_model(LocalLoadContext(Mri, options={})).peak == 0.99
