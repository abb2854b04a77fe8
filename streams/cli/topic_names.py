"""Finds a topic by the name of a processor and a kind, and opens it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.admin.log_range import Span
    from streams.admin.record_filter import RecordFilter
    from streams.admin.tail import TopicReader
    from streams.settings import Settings


def topic_of(settings: Settings, what: str, kinds: list[str]) -> str:
    """Return the full name of the topic. Raises UsageError, UnknownProcessor."""
    from schemas.contract import known_processors, unknown_processor
    from schemas.errors import UsageError

    names = settings.topics
    if len(kinds) > 1:
        raise UsageError(f"--{kinds[0]} and --{kinds[1]} can't be combined.", next_step="Give one of them.")
    kind = kinds[0] if kinds else None
    if kind == "dead-letters":
        return names.dead_letters
    if what in known_processors():
        of_kind = {
            "requests": names.requests(what),
            "bulk": names.requests(what, "bulk"),
            "results": names.results(what),
            "outcomes": names.outcomes(what),
        }
        return of_kind[kind or "results"]
    if kind is not None:
        raise unknown_processor(what)
    return what if what.startswith(names.prefix) else names.prefix + what


def opened(settings: Settings, what: str, topic: str, wanted: RecordFilter, span: Span) -> TopicReader:
    """Open a topic. Raises NotFound, with the nearest name of a processor or topic, UsageError, Unreachable."""
    from schemas.contract import known_processors
    from schemas.errors import NotFound
    from streams.admin.tail import TopicReader

    try:
        return TopicReader(settings, topic, wanted, span)
    except NotFound as error:
        known = [*known_processors(), "uploads", "progress", "control", "dead-letters"]
        if what in known or not (near := difflib.get_close_matches(what, known, n=1, cutoff=0.5)):
            raise
        step = f"Did you mean `sluice tail {near[0]}`? {error.next_step}"
        raise NotFound(error.message, next_step=step) from error
