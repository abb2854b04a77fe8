"""Texts from outside made fit to work with: cleaned, cut, in sentences, and their language."""

from __future__ import annotations

import re
import unicodedata

#: Characters of an answer, a question or a fact list that are read.
MOST_CHARACTERS = 20_000
#: Letters from which on a text's language is decided.
FEWEST_LETTERS = 8
LANGUAGES = ("en", "ko")

_BOUNDARY = re.compile(r"(?<=[.!?。…])\s+|\n+")


def cleaned(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return the text in normal form (NFC), without control characters other than line breaks, `most` characters at most."""
    text = unicodedata.normalize("NFC", text[:most])
    return (
        "".join(sign for sign in text if sign == "\n" or sign.isprintable() or sign.isspace())
        .replace("\r", "\n")
        .strip()
    )


def one_line(text: str) -> str:
    """Return the text with every run of white space as one space."""
    return " ".join(text.split())


def says_something(text: str) -> bool:
    """True if there is a letter or a digit in the text."""
    return any(sign.isalnum() for sign in text)


def sentences(text: str, most: int = 64) -> list[str]:
    """Return the sentences, `most` at most; of a longer text, the ones after that are left out."""
    return [one_line(part) for part in _BOUNDARY.split(text, most)[:most] if part.strip()]


def language_of(text: str) -> str:
    """Return `ko` or `en` by the script, `other` for another script, `` for a text too short to tell.

    Languages in Latin script are not distinguished: French counts as `en`.
    """
    letters = [sign for sign in text if sign.isalpha()]
    if len(letters) < FEWEST_LETTERS:
        return ""
    korean = sum("가" <= sign <= "힣" or "ㄱ" <= sign <= "ㆎ" for sign in letters) / len(letters)
    latin = sum(sign < "\u0250" for sign in letters) / len(letters)
    if korean >= 0.2:  # Korean with many English terms
        return "ko"
    return "en" if latin >= 0.5 else "other"


def same_text(text: str) -> str:
    """Return a key that is equal for questions that differ in case, spaces and punctuation only."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", text).casefold() if sign.isalnum())
