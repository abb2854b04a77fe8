"""Loads `vocabulary.toml`: the words by which the rules know sections, positions, organisations, degrees and places."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

VOCABULARY: dict[str, Any] = tomllib.loads((Path(__file__).parent / "vocabulary.toml").read_text(encoding="utf-8"))


@cache
def pattern(name: str) -> re.Pattern[str]:
    """Return a pattern that finds any word of the list `name`: English words whole, Korean ones also within a longer word."""
    words = sorted(VOCABULARY["words"][name], key=len, reverse=True)
    korean = [re.escape(word) for word in words if re.search(r"[가-힣]", word)]
    latin = [re.escape(word) for word in words if not re.search(r"[가-힣]", word)]
    parts = [rf"(?<![A-Za-z])(?:{'|'.join(latin)})(?![A-Za-z])"] if latin else []
    return re.compile("|".join(parts + korean), re.IGNORECASE)


def words(name: str) -> frozenset[str]:
    """Return the words of the list `name` in lower case."""
    return frozenset(word.lower() for word in VOCABULARY["words"][name])
