"""Trains the weights on scikit-learn's digits: the first half of the images; the second half is for the score.

python train.py        (in the environment of sluice: `make sync` installs scikit-learn)
"""

from __future__ import annotations

import json
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from digits.model import DigitModel

WEIGHTS = Path(__file__).parent / "digits" / "weights" / "digits.json"


def main() -> None:
    images, digits = load_digits(return_X_y=True)
    half = len(images) // 2
    fitted = LogisticRegression(C=0.01, max_iter=2000).fit(images[:half], digits[:half])
    stored = {
        "weights": [[round(float(value), 4) for value in row] for row in fitted.coef_],
        "bias": [round(float(value), 4) for value in fitted.intercept_],
    }
    WEIGHTS.write_text(json.dumps(stored) + "\n")
    model = DigitModel.load(WEIGHTS)
    read = [model.read(tuple(image))[0] for image in images[half:]]
    right = sum(found == digit for found, digit in zip(read, digits[half:], strict=True))
    print(f"{right} of {len(read)} held-out digits are right ({right / len(read):.1%})")


if __name__ == "__main__":
    main()
