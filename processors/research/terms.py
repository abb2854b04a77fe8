"""The terms of a sentence, by which sentences are compared: words of English without their endings, morphemes of Korean."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

_HANGUL = re.compile(r"[가-힣]")
_LETTERS = re.compile(r"\w+")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9'’\-]*|\d+(?:[.,]\d+)*")
_STOP = frozenset(
    _LETTERS.findall(
        """
    a about above after again all also am an and any are as at be because been before being below between both but by can
    could describe did do does doing down during each explain few for from further give had has have having he her here hers
    him his how i if in into is it its just me more most my no nor not of off on once only or other our out over own please
    same she should show so some such tell than that the their them then there these they this those through to too under
    until up us very was we were what when where which while who whom why will with would you your
    """
    )
)
#: Kiwi's tags: nouns, roots, verbs, adjectives, foreign words, numbers, Chinese characters.
_TAGS = ("NNG", "NNP", "XR", "VV", "VA", "SL", "SN", "SH")
_KOREAN_STOP = frozenset(
    _LETTERS.findall(
        """
    것 수 등 때 중 하 되 있 없 이 같 알 알리 보 주 대하 관하 위하 통하 따르 무엇 어떻 어떠 왜 어디 언제 누구 설명 정리
    조사 요약 연구
    """
    )
)
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))


def language_of(text: str) -> str:
    """Return "ko" for a text with a syllable of Hangul, else "en"."""
    return "ko" if _HANGUL.search(text) else "en"


def english_terms(text: str) -> tuple[str, ...]:
    """Return the terms of a text's English words and numbers, in order, repetitions included."""
    return tuple(filter(None, map(_english, _WORD.findall(text))))


class Terms:
    """Finds terms. Kiwi, its model and 0.5 GiB of memory are loaded for the first Korean query (1 s)."""

    def __init__(self) -> None:
        self._kiwi: Kiwi | None = None
        self._korean_terms = lru_cache(200_000)(self._of_korean)

    def finder(self, language: str) -> Callable[[str], tuple[str, ...]]:
        """Return the function that finds the terms of a text which a query in this language ("ko" or "en") may share.

        For English these are English words alone, also those within Korean sentences: nothing Korean has to be analysed.
        """
        return self._of if language == "ko" else english_terms

    def _of(self, text: str) -> tuple[str, ...]:
        return self._korean_terms(text) if _HANGUL.search(text) else english_terms(text)

    def _of_korean(self, text: str) -> tuple[str, ...]:
        found = []
        for token in self._korean().tokenize(text):
            tag = token.tag.partition("-")[0]
            term = _english(token.form) if tag in ("SL", "SN") else token.form
            if tag in _TAGS and term and term not in _KOREAN_STOP:
                found.append(term)
        return tuple(found)

    def _korean(self) -> Kiwi:
        if self._kiwi is None:
            from kiwipiepy import Kiwi

            # Without the lists of phrases and typing errors: they triple the time to load, and say nothing to a comparison.
            self._kiwi = Kiwi(num_workers=1, load_default_dict=False, load_typo_dict=False, load_multi_dict=False)
        return self._kiwi


def _english(word: str) -> str:
    """Return a word in lower case without its ending, "" for a word that says nothing. Crude, and the same on both sides."""
    word = word.lower().replace("’", "'").removesuffix("'s").strip("'-")
    if word in _STOP or (len(word) < 2 and not word.isdigit()):
        return ""
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            stem = word[: len(word) - len(ending)] + instead
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and ending in ("ing", "ed") else stem.rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word
