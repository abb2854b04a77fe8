"""Port of the object store: payloads outside the log, under the sha256 of their content, and objects under a name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from schemas.records import Claim


class StoredObject(NamedTuple):
    """A stored content, and when it was last written."""

    sha256: str
    size: int
    modified: datetime


#: Folder of the notes of files that lab machines uploaded, among the named objects.
UPLOADED = "lab-uploads"


class JobFiles(Protocol):
    """Port of one job: the files that it reads and writes. Synchronous and thread-safe. Raises StoreUnavailable if the store
    does not answer.

    Also implemented over HTTP, for one leased job, by `gateway_client/files.py`.
    """

    def put_file(self, path: Path, content_type: str = "application/octet-stream") -> Claim:
        """Store a file. Idempotent and atomic: readers see all of it or nothing. Raises PayloadTooLarge, InvalidInput."""
        ...

    def put_bytes(self, data: bytes, content_type: str = "application/octet-stream") -> Claim:
        """Store bytes; like `put_file`."""
        ...

    def fetch(self, claim: Claim, into: Path) -> Path:
        """Write the claim's bytes to the file `into` (or into that folder, named by hash) and return the file.

        The file appears only if size and sha256 match. Raises ClaimMismatch if they do not, InvalidInput for a uri outside
        the allowed roots or a missing object, PayloadTooLarge.
        """
        ...

    def has(self, claim: Claim) -> bool:
        """True if the claim's file is stored, with its size. Takes it out of the trash, since a result will refer to it."""
        ...

    def put_named(self, name: str, data: bytes) -> None:
        """Store bytes under a name, replacing existing ones; the last writer wins. `name`: letters, digits, `-` and `/`.
        Raises PayloadTooLarge."""
        ...

    def get_named(self, name: str) -> bytes | None:
        """Return the bytes stored under a name; None if there are none."""
        ...

    def delete_named(self, name: str) -> None:
        """Delete the bytes stored under a name, if there are any."""
        ...


class ClaimStore(JobFiles, Protocol):
    """Stores payloads of claims, and collects those that nothing refers to."""

    def read(self, claim: Claim, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the claim's bytes from `start` to before `stop` (None: its end), a MiB at a time.

        The first step raises InvalidInput for a uri outside the allowed roots or a missing object, ClaimMismatch for another
        size. If everything is read, its last bytes come only if the sha256 matches; else ClaimMismatch comes instead.
        """
        ...

    def contents(self) -> Iterator[StoredObject]:
        """Yield every content that was put, in any order. Raises StoreUnavailable."""
        ...

    def named(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """Yield the names of objects below a folder of names, and when each was last written."""
        ...

    def retire(self, content: StoredObject) -> bool:
        """Put a content in the trash, unless it was written again since it was listed. `fetch` takes it out again, so a late
        reference to it still holds."""
        ...

    def retired(self) -> Iterator[StoredObject]:
        """Yield the contents in the trash; `modified` is when each came there."""
        ...

    def restore(self, content: StoredObject) -> None:
        """Take a content out of the trash."""
        ...

    def delete(self, sha256: str, *, retired_only: bool = False) -> bool:
        """Delete a content for good, also from the trash, or only there; False if there was none."""
        ...

    def delete_leftovers(self, older_than_s: float, *, dry_run: bool = False) -> int:
        """Delete what interrupted uploads have left under temporary names; return how many there were."""
        ...
