"""Measure the embedding and write its model card: `python -m processors.embed.evaluate`.

The score is 1-nearest-neighbour accuracy: a held-out digit takes the label of the training digit most like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA  # type: ignore[import-untyped]

from processors.embed.data import Digits, Split, load_split
from processors.embed.network import DIMENSIONS, DigitNet
from processors.embed.processor import WEIGHTS_NAME, WEIGHTS_SHA256, Embed
from processors.weights import find_weights, load_state, weights_beside

log = structlog.get_logger()

CARD = Path(__file__).parent / "CARD.md"

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """1-NN accuracy on the two holdouts."""

    by_index: float
    balanced: float


def nearest_neighbour_accuracy(gallery: Matrix, known: Labels, queries: Matrix, labels: Labels) -> float:
    """Return the share of queries whose nearest gallery row (Euclidean) has the same label."""
    distance = (gallery**2).sum(1)[None, :] - 2.0 * queries @ gallery.T
    return float((known[distance.argmin(1)] == labels).mean())


def embed(network: DigitNet, digits: Digits) -> Matrix:
    with torch.inference_mode():
        vectors: Matrix = network(torch.from_numpy(digits.pixels)).numpy()
    return vectors


def score(split: Split, gallery: Matrix, by_index: Matrix, balanced: Matrix) -> Score:
    labels = split.training.labels
    return Score(
        nearest_neighbour_accuracy(gallery, labels, by_index, split.by_index.labels),
        nearest_neighbour_accuracy(gallery, labels, balanced, split.balanced.labels),
    )


def evaluate(network: DigitNet) -> dict[str, Score]:
    """The network beside raw pixels and a PCA of as many dimensions, on the same split."""
    split = load_split()
    parts = (split.training, split.by_index, split.balanced)
    pca = PCA(DIMENSIONS, random_state=0).fit(split.training.pixels)
    return {
        "embed (32 floats)": score(split, *(embed(network, part) for part in parts)),
        "raw pixels (64)": score(split, *(part.pixels for part in parts)),
        "PCA (32)": score(split, *(pca.transform(part.pixels).astype(np.float32) for part in parts)),
    }


def card(scores: dict[str, Score]) -> str:
    """The model card as Markdown."""
    rows = "\n".join(f"| {name} | {one.by_index:.4f} | {one.balanced:.4f} |" for name, one in scores.items())
    return f"""# Model card: embed {Embed.version}

Handwritten digits, 8x8 grey values, to unit vectors of 32 floats; the cosine of two vectors is the likeness of their
digits. It is here as honest light work for large batches, not to read anybody's handwriting.

- **Data**: scikit-learn's `load_digits` (1,797 digits of the UCI Optical Recognition set). Training: 1,300. Held out: the last
  297 by index (neighbours in the file often share a writer, which makes this the harder part), and 20 of each class drawn
  from the first 1,500. No holdout was used to choose anything.
- **Training**: `python -m processors.embed.train`: supervised contrastive loss, seeded, about a minute on one core.
- **Weights**: `weights/{WEIGHTS_NAME}`, sha256 `{WEIGHTS_SHA256}`.
- **Input**: exactly 64 finite values in 0..16; anything else is INVALID_INPUT.

1-nearest-neighbour accuracy, held-out digits against the training digits (this table is written by
`python -m processors.embed.evaluate`):

| representation | last 297 by index | class-balanced 200 |
|---|---|---|
{rows}
"""


def main() -> None:
    network = DigitNet()
    network.load_state_dict(load_state(find_weights(WEIGHTS_NAME, WEIGHTS_SHA256, beside=weights_beside(Embed))))
    scores = evaluate(network.eval())
    CARD.write_text(card(scores))
    for name, one in scores.items():
        log.info("1-NN accuracy", representation=name, by_index=one.by_index, balanced=one.balanced)


if __name__ == "__main__":
    main()
