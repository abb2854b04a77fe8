"""Decides whether a rule's conditions hold for an upload. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from streams.router.rules import UploadMatch


def matches(conditions: UploadMatch, upload: Mapping[str, Any]) -> bool:
    """True if all conditions hold for this upload (its record as a plain dict)."""
    claim = upload["claim"]
    labels = upload["labels"]
    content_type = claim["content_type"].partition(";")[0].strip().lower()
    return (
        one_of(conditions.kind, upload["kind"])
        and one_of([pattern.lower() for pattern in conditions.content_type], content_type)
        and one_of([pattern.lower() for pattern in conditions.filename], upload["filename"].lower())
        and one_of(conditions.source, upload["source"])
        and all(name in labels and one_of(globs, labels[name]) for name, globs in conditions.labels.items())
        and conditions.min_size <= claim["size"]
        and (conditions.max_size is None or claim["size"] <= conditions.max_size)
    )


def one_of(patterns: Sequence[str], text: str) -> bool:
    """True if one of the globs matches the whole text, or there are none."""
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
