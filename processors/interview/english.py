"""English for interviews: terms are word stems, vectors are MiniLM's."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.interview.minilm import load_minilm

_WORD = re.compile(r"[a-z]+")
#: The longest first. The words that they leave are stems only to be compared with each other.
_SUFFIXES = ("ations", "ation", "ings", "ment", "ness", "ing", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e")
_SHORTEST = 3
_DOUBLED = frozenset("bdgmnprt")


class English:
    """Implements `TextModel` (similarity.py)."""

    language = "en"
    #: Share of each part of the affinity, and how sharply a text is assigned to themes; chosen on data/pairs.json.
    theme_words, theme_vectors, direct, overlap, temperature = 0.4, 0.4, 1.0, 0.0, 0.06
    #: Affinities at which relevance is 50, and over which it rises from 27 to 73.
    middle, width = 0.2, 0.12

    def __init__(self, device: str = "cpu") -> None:
        self._model = load_minilm(device)

    def terms(self, text: str) -> list[str]:
        return [stem(word) for word in _WORD.findall(text.lower())]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._model.embed(texts).numpy()


def stem(word: str) -> str:
    """Return the word without its ending: `organising` and `organised` give one stem."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST:
            word = word.removesuffix(suffix) + ("y" if suffix in ("ies", "ied") else "")
            break
    return word[:-1] if len(word) > _SHORTEST and word[-1] == word[-2] and word[-1] in _DOUBLED else word
