"""Kiwi's dictionary: is a Korean word a name or a common word?"""

from __future__ import annotations

from functools import cache

from kiwipiepy import Kiwi

#: Kiwi gives words that are not in its dictionary a small number, which stands for their part of speech.
_FIRST_KNOWN = 100
_PROPER = "NNP"


@cache
def korean_words() -> KoreanWords:
    """Return the dictionary; each process loads it once."""
    return KoreanWords()


class KoreanWords:
    """Loads Kiwi (about 1 s and 500 MiB)."""

    def __init__(self) -> None:
        self._kiwi = Kiwi(num_workers=1)

    def glue(self, before: str, after: str) -> str:
        """Return two pieces of a text that a line's end has cut, with a blank between them or without."""
        return str(self._kiwi.glue([before, after]))

    def is_common(self, text: str) -> bool:
        """Return True if a text is made of words in Kiwi's dictionary that are no proper nouns.

        Kiwi cuts rare names into syllables, so pieces of one syllable say nothing.
        """
        tokens = self._kiwi.tokenize(text)
        return all(token.id >= _FIRST_KNOWN and token.tag != _PROPER and len(token.form) > 1 for token in tokens)
