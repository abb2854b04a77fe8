"""Affinity: how well an answer belongs to a question, or a question to an answer. A heuristic without understanding.

Four parts are added: words of the same themes, vectors near the same themes, the vectors' own cosine, and the share of the
question's words that the answer has. Themes bridge what
a question and its answer do not share: who is asked about stress speaks of running.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from processors.interview.bank import bank, themes
from processors.interview.texts import cleaned, language_of, says_something

Floats = NDArray[np.float64]

#: Weight of a question's word in an answer, beside the words that answers have for a theme.
_ASKED_IN_ANSWER = 0.5
#: Nearest questions of the bank that say how near an answer is to questions at all.
_NEAREST = 10
_HUB = 0.5
#: Weight of a term that is in every known text, against ln N for one in none of them.
_SMALLEST_WEIGHT = 0.05
#: Questions whose vectors are remembered, the bank's among them. Answers are not.
_MOST_KNOWN = 2000
#: A question's themes are those with at least this share of the strongest one's weight.
_THEME_SHARE = 0.6


class TextModel(Protocol):
    """Terms and vectors of a language's texts. The five weights and two scales belong to its vectors (`English`, `Korean`)."""

    language: str
    theme_words: float
    theme_vectors: float
    direct: float
    overlap: float
    temperature: float
    middle: float
    width: float

    def terms(self, text: str) -> list[str]:
        """Return the text's terms, in the form in which equal words are equal."""
        ...

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a unit vector (N, D) for each text; zeros if nothing in it is known."""
        ...


class _Asked(NamedTuple):
    """A question: its terms, its vector (D,), and its themes (T,) by words and by nearness, as unit vectors."""

    terms: frozenset[str]
    vector: Floats
    words: Floats
    near: Floats


class Affinity:
    """Affinities by a text model and its language's themes. Vectors of the bank are computed once, here."""

    def __init__(self, model: TextModel) -> None:
        self.model = model
        self.language = model.language
        words = themes(model.language)
        self._asks = _ThemeWords(model, [each.asks for each in words])
        self._answers = _ThemeWords(model, [each.answers for each in words])
        self._ask_vectors = model.vectors([f"{each.name.replace('_', ' ')}: {each.asks}" for each in words])
        self._answer_vectors = model.vectors([each.answers for each in words])
        known = [text for topic in bank(model.language) for text in topic.questions]
        counted = [*known, *(text for each in words for text in (each.asks, each.answers))]
        self._texts = len(counted)
        self._counts = Counter(term for text in counted for term in set(model.terms(text)))
        self._known = dict(zip(known, self._read(known), strict=True))
        self._bank = np.array([each.vector for each in self._known.values()])

    def of(self, questions: Sequence[str], answer: str) -> Floats:
        """Return the affinity (N,) of each question with the answer, about -0.2 to 1.5."""
        model = self.model
        answered = model.vectors([answer]).astype(np.float64)[0]
        terms = frozenset(model.terms(answer))
        words = _unit(self._answers.counted(terms) + _ASKED_IN_ANSWER * self._asks.counted(terms))
        near = _unit(_shares(self._answer_vectors @ answered, model.temperature))
        # An answer that is near to any question is taken down (Radovanović et al., *Hubs in space*, 2010).
        hub = _HUB * float(np.sort(self._bank @ answered)[-_NEAREST:].mean())
        return np.array(
            [
                model.theme_words * float(each.words @ words)
                + model.theme_vectors * float(each.near @ near)
                + model.direct * (float(each.vector @ answered) - hub)
                + model.overlap * self._share(each.terms, terms)
                for each in self._questions(questions)
            ]
        )

    def breadth(self, question: str, answer: str) -> int:
        """Return how many different words of an answer are ones that answers have for the question's themes."""
        (read,) = self._questions([question])
        weights = read.words + read.near
        places = np.flatnonzero(weights >= _THEME_SHARE * weights.max())
        terms = set(self.model.terms(answer))
        return len(terms & (self._answers.of(places) | self._asks.of(places)))

    def relevance(self, question: str, answer: str) -> float:
        """Return the affinity as a score from 0 to 100; 0 for an empty answer. It is no probability."""
        if not (says_something(answer) and says_something(question)):
            return 0.0
        affinity = float(self.of([question], answer)[0])
        return 100.0 / (1.0 + math.exp(-(affinity - self.model.middle) / self.model.width))

    def _share(self, asked: frozenset[str], answered: frozenset[str]) -> float:
        """Return the share, 0 to 1, of a question's terms that an answer has; rare terms count more."""
        whole = sum(map(self._rarity, asked))
        return sum(map(self._rarity, asked & answered)) / whole if whole else 0.0

    def _rarity(self, term: str) -> float:
        return max(_SMALLEST_WEIGHT, math.log((self._texts + 1) / (self._counts[term] + 1)))

    def _questions(self, texts: Sequence[str]) -> list[_Asked]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if len(self._known) + len(new) > _MOST_KNOWN:
            self._known = dict(list(self._known.items())[: len(self._bank)])
        self._known.update(zip(new, self._read(new), strict=True))
        return [self._known[text] for text in texts]

    def _read(self, texts: Sequence[str]) -> list[_Asked]:
        model, vectors = self.model, self.model.vectors(texts).astype(np.float64)
        return [
            _Asked(
                frozenset(terms),
                vector,
                _unit(self._asks.counted(terms)),
                _unit(_shares(self._ask_vectors @ vector, model.temperature)),
            )
            for terms, vector in zip(map(model.terms, texts), vectors, strict=True)
        ]


def load_affinity(language: str, device: str = "cpu") -> Affinity:
    """Return the affinity of `en` or `ko`; loads its model once per process. Raises ModelNotFound."""
    return _load_affinity(language, device)


@cache
def _load_affinity(language: str, device: str) -> Affinity:
    if language == "ko":
        from processors.interview.korean import Korean

        background = [text for topic in bank("ko") for text in topic.questions]
        return Affinity(Korean(background, [word for theme in themes("ko") for word in theme.answers.split()]))
    from processors.interview.english import English

    return Affinity(English(device))


def relevance(question: str, answer: str, language: str = "auto") -> float:
    """Return how well an answer belongs to a question, from 0 to 100: the relevance of `evaluate` before it is rounded.

    `language`: `en`, `ko`, or `auto` for the question's; other languages count as English. Loads the language's model once.
    """
    question, answer = cleaned(question), cleaned(answer)
    if language == "auto":
        language = "ko" if language_of(question) == "ko" else "en"
    return load_affinity(language).relevance(question, answer)


class _ThemeWords:
    """Counts the words of each theme in a text: rare words more, themes with many words less."""

    def __init__(self, model: TextModel, texts: Sequence[str]) -> None:
        self._terms = terms = [set(model.terms(text)) for text in texts]
        counts = Counter(term for each in terms for term in each)
        self._weights = {term: math.log((len(terms) + 1) / (count + 0.5)) for term, count in counts.items()}
        self._places: dict[str, list[int]] = {}
        for place, each in enumerate(terms):
            for term in each:
                self._places.setdefault(term, []).append(place)
        self._sizes = np.sqrt([max(len(each), 1) for each in terms])

    def of(self, places: Iterable[int]) -> set[str]:
        """Return the terms of the themes at these places."""
        return set[str]().union(*(self._terms[place] for place in places))

    def counted(self, terms: Iterable[str]) -> Floats:
        """Return the weight (T,) of each theme in a text with these terms."""
        found = np.zeros(len(self._sizes))
        for term in set(terms) & self._places.keys():
            found[self._places[term]] += self._weights[term]
        weights: Floats = found / self._sizes
        return weights


def _shares(similar: NDArray[np.floating], temperature: float) -> Floats:
    """Return shares (T,) that add up to 1: the sharper, the lower the temperature."""
    raised = np.exp((similar.astype(np.float64) - similar.max()) / temperature)
    shares: Floats = raised / raised.sum()
    return shares


def _unit(vector: Floats) -> Floats:
    made: Floats = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return made
