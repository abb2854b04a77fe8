"""An object whose hash is known only at its end: written under a temporary name, then kept under its hash, or discarded.

A process that dies in between leaves an object under `incoming/`, which `sluice objects collect` removes.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from connectors.claim_uris import content_key
from connectors.object_backend import PART, PARTS_AT_ONCE, is_fresh, move, translated
from schemas.errors import PayloadTooLarge
from schemas.records import Claim

if TYPE_CHECKING:
    import obstore.store


class IncomingObject:
    """`write` any number of times, `finish`, then `keep` or `discard`. Used by one thread at a time.

    `size` and `sha256` are those of what was written so far. Memory stays flat, whatever the size.
    """

    def __init__(self, store: obstore.store.ObjectStore, root: str, key: str, max_bytes: int) -> None:
        self._store = store
        self._root = root
        self._key = key
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._writer: Any = None
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises PayloadTooLarge, StoreUnavailable."""
        import obstore

        self._count(chunk)
        with translated("store"):
            if self._writer is None:
                self._writer = obstore.open_writer(
                    self._store, self._key, buffer_size=PART, max_concurrency=PARTS_AT_ONCE
                )
            self._writer.write(chunk)

    def finish(self) -> None:
        """Complete the object, so that it can be read. Raises StoreUnavailable."""
        with translated("store"):
            if self._writer is None:
                self._store.put(self._key, b"")
            else:
                self._writer.close()

    def open(self) -> IO[bytes]:
        """Open the finished object for reading at any position. Reading raises StoreUnavailable."""
        import obstore

        with translated("fetch"):
            opened = obstore.open_reader(self._store, self._key, buffer_size=256 * 1024, size=self.size)
        # A zip's directory is read in many small steps.
        return cast("IO[bytes]", io.BufferedReader(_Reader(opened), 256 * 1024))

    def keep(self, content_type: str) -> Claim:
        """Keep the finished object under its hash and return its claim. Raises StoreUnavailable."""
        key = content_key(self.sha256)
        with translated("store"):
            if is_fresh(self._store, key, self.size):
                self._store.delete(self._key)
            else:
                move(self._store, self._key, key, self.size)
        return Claim(f"{self._root}/{key}", self.sha256, self.size, content_type)

    def discard(self) -> None:
        """Remove what was written, finished or not."""
        self._writer = None  # a writer that is dropped gives up its multipart upload
        with translated("remove"), suppress(FileNotFoundError):
            self._store.delete(self._key)

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise PayloadTooLarge(f"The payload has more than {self._max_bytes} bytes, which are allowed.")
        self._hash.update(chunk)


class _Reader(io.RawIOBase):
    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._opened.seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened.tell())

    def readinto(self, buffer: Any) -> int:
        with translated("fetch"):
            data = bytes(self._opened.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)
