"""Multimodal: a risk from a patient's lesion volume, gene-expression risk and serum proteins, any of which may be missing.

`contract.py` is what submitters import. `processor.py` serves, with `proteins.py` (the CSV table), `fusion.py` (the model) and
`picture.py`. `train.py` and `evaluate.py` make the weights and the model card; read `CARD.md` before you trust a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from processors.multimodal.processor import Multimodal

__all__ = ["Multimodal"]


def __getattr__(name: str) -> Any:
    """`Multimodal` on first use, so that looking into this package does not import torch."""
    if name != "Multimodal":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from processors.multimodal.processor import Multimodal

    return Multimodal
