"""Port of the stored dead letters: the rows that the sink makes, and what operators see and change of them.

A row is made of the record's headers; the record with its value stays in the log. Implementations:
`postgres/dead_letter_store.py`, `memory/dead_letter_store.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, Self

OPEN, REDRIVEN, DROPPED = "open", "redriven", "dropped"
STATES = (OPEN, REDRIVEN, DROPPED)
#: Characters of a summary, and of any other text of a row that comes from the record's headers.
LONGEST_TEXT = 300

#: Parts of a message that differ between records that fail alike: quoted values, addresses, ids and numbers. An apostrophe
#: within a word quotes nothing.
_QUOTED = re.compile(r"""(?<!\w)b?(?:'.*?'|".*?")(?!\w)""", re.DOTALL)
_VARYING = re.compile(
    r"\w+://\S+|\b0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b(?=\w*\d)[0-9a-fA-F]{8,}\b|\d+(?:\.\d+)*"
)


class DeadLetterRow(NamedTuple):
    """A dead letter as the sink stores it. Fields are in the order of `d` in queries/store_dead_letters.sql. `bytes`: of the
    value; None if it was published without its value. `origin_offset`: -1 if it is not known."""

    topic_id: bytes
    partition: int
    offset: int
    at: datetime
    reason: str
    fingerprint: str
    summary: str
    processor: str
    origin_topic: str
    origin_partition: int
    origin_offset: int
    job_id: bytes | None
    run: int | None
    bytes: int | None
    attempts: int
    worker: str


class LetterPlace(NamedTuple):
    """The place of a dead letter in its topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; None matches all. `since` and `until`: of the record's time. `tenant`: of the job, if the store
    knows it; a dead letter without a known job is no tenant's."""

    places: Sequence[LetterPlace] | None = None
    fingerprint: str | None = None
    reason: str | None = None
    processor: str | None = None
    states: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    job_id: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as operators see it. `topic`, `topic_id`: of the topic that holds it. `summary`: its message without
    values; None if its case was erased. `job_known`: the store has a job with this id; then `tenant` is its tenant.

    It is redriven if a replay holds its record, or its job in a later run, and that is or will be published. `changed_at`,
    `changed_by` and `note`: of that, or of the drop."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    at: datetime
    reason: str
    fingerprint: str
    summary: str | None
    processor: str
    origin_topic: str
    origin_partition: int
    origin_offset: int
    job_id: str | None
    run: int | None
    job_known: bool
    tenant: str | None
    bytes: int | None
    attempts: int
    worker: str
    state: str
    changed_at: datetime | None
    changed_by: str | None
    note: str | None
    replay_id: str | None

    @property
    def place(self) -> LetterPlace:
        return LetterPlace(self.partition, self.offset)

    @property
    def erased(self) -> bool:
        """True if the contents of its case were erased: its record is in the log still, and is shown no more."""
        return self.summary is None


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters that failed alike. `partition` and `offset`: of the newest one, as an example."""

    fingerprint: str
    reason: str
    processor: str
    origin_topic: str
    letters: int
    open: int
    first_at: datetime
    last_at: datetime
    partition: int
    offset: int
    summary: str | None


class DeadLetterStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def find(
        self, wanted: DeadLetterFilter, limit: int, after: tuple[datetime, LetterPlace] | None = None
    ) -> list[DeadLetter]:
        """Return dead letters, newest first. `after`: time and place of the last row of the previous page."""
        ...

    def groups(self, wanted: DeadLetterFilter) -> list[DeadLetterGroup]:
        """Return the dead letters grouped by fingerprint, the largest group first."""
        ...

    def drop(self, wanted: DeadLetterFilter, by: str, note: str) -> int:
        """Mark the open ones as dropped, with who and why; return how many there were. Their records stay in the log."""
        ...

    def close(self) -> None: ...


def fingerprint_of(reason: str, origin_topic: str, summary: str) -> str:
    """Return the name of a group: records that fail alike have the same one, whatever values they hold."""
    return hashlib.sha256(f"{reason}\0{origin_topic}\0{summary}".encode("utf-8", "replace")).hexdigest()[:12]


def summary_of(message: str) -> str:
    """Return a message without what differs between records that fail alike: numbers, ids, addresses and quoted values."""
    return _VARYING.sub("…", _QUOTED.sub("'…'", message))[:LONGEST_TEXT]
