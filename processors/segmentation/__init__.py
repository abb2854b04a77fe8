"""Segmentation: lesions in a brain-extracted MR volume (NIfTI or a DICOM series), as a mask with its volumes and areas.

Serving needs torch, nibabel and pydicom (`processor.py`, then `reading.py`, `grid.py`, `network.py`). Training, evaluation
and samples (`train.py`, `evaluate.py`, `samples.py`) need the extra `train` as well. `CARD.md` says how good it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from processors.segmentation.processor import Segmentation

__all__ = ["Segmentation"]


def __getattr__(name: str) -> Any:
    """`Segmentation` on first use, so that looking into this package does not import torch."""
    if name != "Segmentation":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from processors.segmentation.processor import Segmentation

    return Segmentation
