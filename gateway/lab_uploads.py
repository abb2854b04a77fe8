"""Notes which files the workers of a leased run have uploaded: its result may claim these, and no other file.

The object store has all tenants' files by their hash, so a hash alone does not say that a machine ever had the bytes. The notes
lie beside the files, as another gateway may take the result. `sluice objects collect` deletes those that no result came for.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from connectors.claim_store import UPLOADED
from connectors.objects import ObjectStore
from schemas.errors import InvalidInput, JobError
from schemas.records import Claim


class LeaseUploads:
    """The uploads of one run. Raises StoreUnavailable."""

    def __init__(self, objects: ObjectStore, job_id: str | UUID, run: int) -> None:
        self._objects = objects
        self._folder = f"{UPLOADED}/{job_id}/{run}"

    def note(self, claim: Claim) -> None:
        self._objects.put_named(f"{self._folder}/{claim.sha256}", str(claim.size).encode())

    def check(self, claimed: Iterable[tuple[str, str, int]]) -> None:
        """Raise InvalidInput if one of these files (uri, sha256, size) was not uploaded for this run."""
        for uri, sha256, size in claimed:
            if uri != self._objects.uri_of(sha256) or self._size(sha256) != str(size).encode():
                raise InvalidInput("The result claims a file that was not uploaded for it.")

    def forget(self, claimed: Iterable[tuple[str, str, int]]) -> None:
        """Delete the notes of files that a published result refers to. What is left is collected."""
        with suppress(JobError):
            for _, sha256, _ in claimed:
                self._objects.delete_named(f"{self._folder}/{sha256}")

    def _size(self, sha256: str) -> bytes | None:
        return self._objects.get_named(f"{self._folder}/{sha256}")
