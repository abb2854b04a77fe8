"""The report of a result: what was found, and a warning about a head that has its skull."""

from __future__ import annotations

import numpy as np
import pytest

from processors.mri_lab.report import report, tissue_ml
from processors.segmentation.volume import Volume


def head(radius: float) -> Volume:
    """A ball of tissue in voxels of 4 mm. `radius` in millimetres."""
    points = np.stack(np.meshgrid(*[np.arange(64) * 4.0 - 126.0] * 3, indexing="ij"), -1)
    inside = np.linalg.norm(points, axis=-1) < radius
    data = np.where(inside, np.random.default_rng(1).uniform(300, 900, inside.shape), 2.0).astype(np.float32)
    return Volume(data, np.diag([4.0, 4.0, 4.0, 1.0]))


def test_tissue_is_what_stands_out_from_the_background() -> None:
    assert tissue_ml(head(75.0)) == pytest.approx(4 / 3 * np.pi * 7.5**3, rel=0.02)


def test_a_head_with_its_skull_is_warned_of() -> None:
    assert report(0.0, 0, tissue_ml(head(75.0))) == "No lesion was found."
    assert report(1234.0, 1, 1800.0) == "1 lesion of 1.23 ml together."
    warned = report(12_345.0, 3, tissue_ml(head(100.0)))
    assert warned.startswith("3 lesions of 12.35 ml together. Warning: the series shows 4")
    assert "skull" in warned
