"""Ranks sentences against a question by TF-IDF.

A sentence's score is the cosine between its vector and the question's, weighted by (1 + log tf) · idf over all sentences of the
folder (Manning, Raghavan, Schütze 2008, chapter 6), times its coverage: the share of the question's weight whose terms
the sentence has. Terms that no document has count in full, so a question about something else finds nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from processors.research.documents import SourceDocument

#: Coverage from which a sentence is about the question.
ENOUGH = 0.34
#: Share of common terms above which two sentences say the same; the worse one is left out.
SAME = 0.6
#: Sentences quoted for a question, and from one document.
MOST, MOST_OF_ONE = 6, 3


@dataclass(frozen=True, slots=True)
class Extract:
    """A sentence that is quoted. `document`: the name of its document. `score`: 0..1."""

    document: str
    quote: str
    score: float


class Index:
    """The sentences of a folder. `terms`: returns those of a text. `check`: called before each document; it raises to stop."""

    def __init__(
        self,
        documents: Iterable[SourceDocument],
        terms: Callable[[str], Sequence[str]],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._terms = terms
        self._rows: list[tuple[str, str, Counter[str]]] = []
        counts: Counter[str] = Counter()
        for document in documents:
            check()
            for quote in document.sentences:
                found = Counter(terms(quote))
                counts.update(found.keys())
                self._rows.append((document.name, quote, found))
        self._log_n = math.log(1 + len(self._rows))
        self._counts = counts

    def best(self, question: str, most: int = MOST) -> list[Extract]:
        """Return the sentences that answer a question best, best first; [] if none is about it."""
        wanted = self._vector(Counter(self._terms(question)))
        total, length = sum(wanted.values()), _length(wanted)
        if not total:
            return []
        scored = []
        for place, (name, quote, found) in enumerate(self._rows):
            if not (common := wanted.keys() & found.keys()):
                continue
            coverage = sum(wanted[term] for term in common) / total
            if coverage >= ENOUGH:
                vector = self._vector(found)
                cosine = sum(wanted[term] * vector[term] for term in common) / (length * _length(vector))
                scored.append((-cosine * coverage, place, name, quote, frozenset(found)))
        chosen: list[Extract] = []
        kept: list[frozenset[str]] = []
        of_one: Counter[str] = Counter()
        for score, _, name, quote, has in sorted(scored, key=lambda one: one[:2]):
            if of_one[name] < MOST_OF_ONE and not any(_alike(has, other) for other in kept):
                chosen.append(Extract(name, quote, round(-score, 4)))
                kept.append(has)
                of_one[name] += 1
            if len(chosen) == most:
                break
        return chosen

    def _vector(self, counts: Mapping[str, int]) -> dict[str, float]:
        return {
            term: (1 + math.log(count)) * (1 + self._log_n - math.log(1 + self._counts[term]))
            for term, count in counts.items()
        }


def _length(vector: Mapping[str, float]) -> float:
    return math.sqrt(sum(value * value for value in vector.values()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) > SAME * len(one | other)
