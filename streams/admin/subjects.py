"""The registry's part of `sluice topics`: registers each subject's schema, with FULL_TRANSITIVE compatibility."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from schemas.errors import Conflict
from schemas.registry import SchemaRegistry
from streams.admin.changes import Change, ChangeKind

T = TypeVar("T")

COMPATIBILITY = "FULL_TRANSITIVE"
#: Concurrent calls; each takes some milliseconds.
_WORKERS = 8


def plan(registry: SchemaRegistry, wanted: Mapping[str, str]) -> list[Change]:
    """Return what `apply` would register. A schema that it would refuse with a Conflict is a warning here."""
    missing = _missing(registry, wanted)
    refused = _each(missing, lambda subject: registry.check(subject, wanted[subject]))
    return [
        Change(ChangeKind.WARNING, subject, f"not compatible with its versions: {'; '.join(refused[subject])}")
        if refused[subject]
        else _change(subject)
        for subject in missing
    ]


def apply(registry: SchemaRegistry, wanted: Mapping[str, str]) -> list[Change]:
    """Register the missing schemas. Raises Conflict, before it registers any, if one schema is not compatible."""
    missing = _missing(registry, wanted)
    for subject, reasons in _each(missing, lambda subject: registry.check(subject, wanted[subject])).items():
        if reasons:
            raise Conflict(
                f"The schema of {subject!r} is not compatible with its versions: {'; '.join(reasons)}.",
                next_step="Give new fields defaults and keep old ones, or use a new processor name.",
            )

    def register(subject: str) -> None:
        registry.register(subject, wanted[subject])
        registry.set_compatibility(subject, COMPATIBILITY)

    _each(missing, register)
    return [_change(subject) for subject in missing]


def _missing(registry: SchemaRegistry, wanted: Mapping[str, str]) -> list[str]:
    found = _each(list(wanted), lambda subject: registry.lookup(subject, wanted[subject]))
    return [subject for subject in wanted if found[subject] is None]


def _change(subject: str) -> Change:
    return Change(ChangeKind.REGISTER_SCHEMA, subject, COMPATIBILITY)


def _each(subjects: Sequence[str], ask: Callable[[str], T]) -> dict[str, T]:
    """Call `ask` for every subject, some at a time; raise the first error."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        return dict(zip(subjects, pool.map(ask, subjects), strict=True))
