"""Korean for interviews: terms are content morphemes by Kiwi, vectors are weighted means of its morphemes' embeddings.

Kiwi's CoNgram model has an embedding for each morpheme, but says only how similar two are. The vectors here give the same
similarities: each morpheme is compared with those of a fixed basis, the bank's questions (Nyström's method; Williams and
Seeger, *Using the Nyström method to speed up kernel machines*, 2001). The mean of the basis is taken away, because all
morphemes are similar to each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ModelNotFound

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

#: Nouns, proper nouns, verbs, adjectives, roots and foreign words.
_CONTENT = frozenset(("NNG", "NNP", "VV", "VA", "XR", "SL"))
#: Weight of a morpheme that is in every question of the bank, against ln N for one in none of them.
_SMALLEST_WEIGHT = 0.05
#: Morphemes of the basis, the most frequent ones. With twice as many nothing is better.
_BASIS = 128
#: Directions of the basis that are kept, as a share of the strongest one's eigenvalue.
_STRENGTH = 1e-3
#: Morphemes whose vector is remembered. One takes 1.5 KB.
_MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Morpheme:
    """Equal if form and tag are; `number` is Kiwi's."""

    form: str
    tag: str
    number: int = field(compare=False)


class Korean:
    """Implements `TextModel` (similarity.py). `background`: texts whose morphemes are the basis and count as common.
    `words`: texts whose mean vector is taken away, because answers of all kinds have it in common."""

    language = "ko"
    #: As in English.
    theme_words, theme_vectors, direct, overlap, temperature = 1.0, 0.2, 0.3, 1.0, 0.05
    middle, width = 0.3, 0.15

    def __init__(self, background: Sequence[str], words: Sequence[str]) -> None:
        self._kiwi = _load_kiwi()
        read = [set(self._morphemes(text)) for text in background]
        counts = Counter(each for morphemes in read for each in morphemes)
        self._weights = {each: _weight(len(read), count) for each, count in counts.items()}
        self._rare = _weight(len(read), 0)
        self._basis = sorted(counts, key=lambda each: (-counts[each], each.form, each.tag))[:_BASIS]
        similar = np.array([self._compared(each) for each in self._basis])
        values, directions = np.linalg.eigh((similar + similar.T) / 2)
        kept = values > values[-1] * _STRENGTH
        self._projection = directions[:, kept] / np.sqrt(values[kept])
        self._mean = (similar @ self._projection).mean(axis=0)
        self._remembered: dict[Morpheme, NDArray[np.float64]] = {}
        self._common = np.zeros(self._projection.shape[1])
        self._common = self.vectors(words).mean(axis=0)

    def terms(self, text: str) -> list[str]:
        return [f"{each.form}/{each.tag}" for each in self._morphemes(text)]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        made = np.zeros((len(texts), self._projection.shape[1]))
        for place, text in enumerate(texts):
            for each in set(self._morphemes(text)):
                made[place] += self._weights.get(each, self._rare) * self._vector(each)
        known = made.any(axis=1)
        made[known] = _units(made[known]) - self._common
        return _units(made).astype(np.float32)

    def _morphemes(self, text: str) -> list[Morpheme]:
        found = self._kiwi.tokenize(text)
        return [Morpheme(each.form, tag, each.id) for each in found if (tag := each.tag.partition("-")[0]) in _CONTENT]

    def _vector(self, morpheme: Morpheme) -> NDArray[np.float64]:
        """Return the morpheme's unit vector; zeros if Kiwi does not know it."""
        vector = self._remembered.get(morpheme)
        if vector is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            vector = np.zeros(self._projection.shape[1])
            if self._kiwi.morpheme(morpheme.number).form == morpheme.form:  # else a number that unknown words share
                vector = self._compared(morpheme) @ self._projection - self._mean
                vector /= max(float(np.linalg.norm(vector)), 1e-9)
            self._remembered[morpheme] = vector
        return vector

    def _compared(self, morpheme: Morpheme) -> NDArray[np.float64]:
        """Return the cosines with the morphemes of the basis; 0 where Kiwi has none (it answers NaN)."""
        found = np.array([self._similarity(morpheme, each) for each in self._basis])
        return np.where(np.isfinite(found) & (np.abs(found) <= 1.001), found, 0.0)

    def _similarity(self, one: Morpheme, other: Morpheme) -> float:
        return 1.0 if one == other else float(self._kiwi.morpheme_similarity(one.number, other.number))


def _units(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return made


def _weight(texts: int, count: int) -> float:
    return max(_SMALLEST_WEIGHT, math.log((texts + 1) / (count + 1)))


def _load_kiwi() -> Kiwi:
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise ModelNotFound(
            "Kiwi, which reads Korean, is not installed (the package kiwipiepy).",
            next_step="Install the extra: pip install 'sluice[interview]'; or serve English alone: INTERVIEW_LANGUAGES=en",
        ) from error
    return Kiwi(num_workers=1)
