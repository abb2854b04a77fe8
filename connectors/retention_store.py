"""Port of what is kept for how long: which stored files are referred to, and the contents of one case (docs/adr/0025, 0031)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self


def case_sha256(tenant: str, case_id: str) -> str:
    """Return the name of a case in the record of erasures: its id itself may name a patient."""
    return hashlib.sha256(f"{tenant}\0{case_id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CaseRows:
    """Rows of one case. `open_runs`: (job id, run) that have not ended. `contents`: sha256 of files that its uploads,
    results and requests refer to. `parts`: names of the objects of its unfinished uploads. `inputs`: hashes of the inputs of
    its jobs; none of one that was erased."""

    job_ids: list[str] = field(default_factory=list)
    open_runs: list[tuple[str, int]] = field(default_factory=list)
    upload_ids: list[str] = field(default_factory=list)
    deliveries: int = 0
    contents: set[str] = field(default_factory=set)
    parts: list[str] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A case that was erased, as it is recorded."""

    tenant: str
    case_sha256: str
    erased_at: datetime
    erased_by: str
    jobs: int
    uploads: int
    deliveries: int
    objects: int


class RetentionStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit. Every call raises Unreachable while the store does not
    answer, and may take minutes: it reads whole tables."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def references(self) -> set[str]:
        """Return the sha256 of every file that any upload, outcome or kept request refers to."""
        ...

    def unfinished(self, upload_ids: Iterable[str]) -> set[str]:
        """Return those of these uploads that are in pieces and have not ended."""
        ...

    def known_inputs(self, inputs: Iterable[str]) -> set[tuple[str, str]]:
        """Return tenant and input hash of every job that has one of these inputs."""
        ...

    def case(self, tenant: str, case_id: str) -> CaseRows:
        """Return what the rows hold of a case, erased already or not."""
        ...

    def others(self, tenant: str, case_id: str, contents: Iterable[str]) -> set[str]:
        """Return those of these contents that rows of any other case refer to."""
        ...

    def erase(self, tenant: str, case_id: str, by: str, objects: int) -> Erasure:
        """Delete the contents of a case and record that they were erased; what comes late is not stored. Idempotent."""
        ...

    def erasures(self, tenant: str, case_id: str) -> list[Erasure]:
        """Return the records of a case's erasures, the first one first."""
        ...

    def close(self) -> None: ...
