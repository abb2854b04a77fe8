"""A model that reads handwritten digits: multinomial logistic regression on 8x8 grey values. Plain Python, no framework.

This file knows neither Celery nor sluice. A task calls it in one example, a processor in the other.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

PIXELS = 64
BRIGHTEST = 16.0
MOST_DIGITS = 10_000

Image = tuple[float, ...]


class BadSheet(ValueError):
    """The file is not a sheet of digits."""


class DigitModel:
    """Ten scores an image, each a weighted sum of its pixels."""

    def __init__(self, weights: Sequence[Sequence[float]], bias: Sequence[float]) -> None:
        self._rows = list(zip(weights, bias, strict=True))

    @classmethod
    def load(cls, path: Path) -> DigitModel:
        stored = json.loads(path.read_text())
        return cls(stored["weights"], stored["bias"])

    def read(self, image: Image) -> tuple[int, float]:
        """Return the digit and its probability."""
        scores = [sum(w * x for w, x in zip(weights, image, strict=True)) + bias for weights, bias in self._rows]
        best = max(scores)
        shares = [math.exp(score - best) for score in scores]
        return scores.index(best), 1.0 / sum(shares)


def read_sheet(path: Path) -> list[Image]:
    """Return the images of a sheet: a CSV file with an image a line, 64 grey values from 0 to 16. Raises BadSheet."""
    try:
        with path.open(newline="", encoding="ascii") as file:
            return _images(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSheet("The file is not a CSV file.") from error


def _images(lines: Iterable[list[str]]) -> list[Image]:
    images: list[Image] = []
    for number, line in enumerate(lines, start=1):
        if number > MOST_DIGITS:
            raise BadSheet(f"The sheet has more than {MOST_DIGITS} digits.")
        images.append(_image(number, line))
    if not images:
        raise BadSheet("The sheet is empty.")
    return images


def _image(number: int, line: list[str]) -> Image:
    try:
        pixels = tuple(float(value) for value in line)
    except ValueError:
        raise BadSheet(f"Line {number} has a value that is not a number.") from None
    if len(pixels) != PIXELS or not all(0.0 <= pixel <= BRIGHTEST for pixel in pixels):
        raise BadSheet(f"Line {number} does not have {PIXELS} grey values from 0 to {BRIGHTEST:g}.")
    return pixels
