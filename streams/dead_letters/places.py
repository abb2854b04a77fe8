"""Places of dead letters as text: TOPIC[PARTITION]@OFFSET, or PARTITION:OFFSET for short."""

from __future__ import annotations

import re

from connectors.dead_letter_store import DeadLetter, LetterPlace
from schemas.errors import UsageError

_PLACE = re.compile(
    r"(?P<topic>[^\[\]@\s]+)\[(?P<partition>\d{1,9})\]@(?P<offset>\d{1,18})|(?P<p>\d{1,9}):(?P<o>\d{1,18})", re.ASCII
)
_GROUP = re.compile(r"[0-9a-f]{12}", re.ASCII)


def parse_place(text: str, topic: str) -> LetterPlace:
    """Return the place that a text names. `topic`: name of the topic of dead letters here. Raises UsageError."""
    match = _PLACE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text[:80]!r} is no place of a dead letter.",
            next_step=f"Write it as {topic}[3]@12 or 3:12; `sluice dlq list` prints places and groups.",
        )
    if match["topic"] not in (None, topic):
        raise UsageError(
            f"{match['topic']} is not the topic of dead letters, which is {topic}.",
            next_step="Give the place of the dead letter, not that of its origin.",
        )
    return LetterPlace(int(match["partition"] or match["p"] or 0), int(match["offset"] or match["o"] or 0))


def is_group(text: str) -> bool:
    """True for a fingerprint of a group."""
    return _GROUP.fullmatch(text) is not None


def print_place(letter: DeadLetter) -> str:
    return f"{letter.topic}[{letter.partition}]@{letter.offset}"
