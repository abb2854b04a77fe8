"""Embed: handwritten digits (8x8 grey values) to unit vectors whose cosine is their likeness. Light work for large batches.

`processor.py` serves, `train.py` and `evaluate.py` make the weights and the model card. Start at `network.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from processors.embed.processor import Embed

__all__ = ["Embed"]


def __getattr__(name: str) -> Any:
    """`Embed` on first use, so that looking into this package does not import torch."""
    if name != "Embed":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from processors.embed.processor import Embed

    return Embed
