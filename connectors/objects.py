"""Claim checks: payloads stored outside the log, under the sha256 of their content.

`ClaimStore` is the port. `ObjectStore` implements it on a local folder, S3, Google Cloud Storage, Azure, or (`memory://`, for
tests) inside the process. Content addressing makes `put` idempotent and lets `fetch` verify what it read.
"""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from connectors.claim_uris import Location, content_key, locate, named_key, root_uri
from schemas.errors import ClaimMismatch, ConnectionFailed, InvalidInput, PayloadTooLarge, StoreUnavailable, UsageError
from schemas.records import Claim

if TYPE_CHECKING:
    import obstore.store
    from obstore.store import AzureStore, GCSStore, S3Store

#: Bytes per step of a stream: small enough for a worker's memory, large enough that hashing dominates the time.
CHUNK = 1 << 20
DEFAULT_LIMIT = 4 << 30


class ClaimStore(Protocol):
    """Stores payloads of claims. Synchronous and thread-safe. Raises StoreUnavailable if the store does not answer."""

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


class ObjectStore:
    """`url`: file:///folder, s3://bucket/prefix, gs://…, az://container/prefix or memory://.

    `also_from`: further url prefixes (a backend's own bucket) that claims may be fetched from; never written to.
    `options`: obstore's options for the store: endpoint, region, access_key_id, … An endpoint that begins with http:// is
    used without TLS.
    """

    def __init__(
        self,
        url: str,
        *,
        also_from: Sequence[str] = (),
        max_bytes: int = DEFAULT_LIMIT,
        timeout_s: float = 300.0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root_uri(url)
        self._roots = (self.root, *(root_uri(prefix) for prefix in also_from))
        self._max_bytes = max_bytes
        self._timeout = timedelta(seconds=timeout_s)
        self._options = dict(options or {})
        self._stores: dict[str, obstore.store.ObjectStore] = {}
        self._opening = threading.Lock()

    def put_file(self, path: Path, content_type: str = "application/octet-stream") -> Claim:
        try:
            size = path.stat().st_size
            self._check_size(size)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidInput(f"The file to store can't be read: {error.strerror or error}.") from error
        return self._put(path, digest, size, content_type)

    def put_bytes(self, data: bytes, content_type: str = "application/octet-stream") -> Claim:
        self._check_size(len(data))
        return self._put(data, hashlib.sha256(data).hexdigest(), len(data), content_type)

    def fetch(self, claim: Claim, into: Path) -> Path:
        self._check_size(claim.size)
        content_key(claim.sha256)  # validates it: it may become a file name
        location = locate(claim.uri, self._roots)
        target = into / claim.sha256 if into.is_dir() else into
        with _written_whole(target) as write:
            self._copy(claim, location, write)
        return target

    def put_named(self, name: str, data: bytes) -> None:
        self._check_size(len(data))
        with _translated("store"):
            self._open(self.root).put(named_key(name), data)

    def get_named(self, name: str) -> bytes | None:
        with _translated("fetch"):
            try:
                return bytes(self._open(self.root).get(named_key(name)).bytes())
            except FileNotFoundError:
                return None

    def delete_named(self, name: str) -> None:
        with _translated("remove"), suppress(FileNotFoundError):
            self._open(self.root).delete(named_key(name))

    def _put(self, source: Path | bytes, digest: str, size: int, content_type: str) -> Claim:
        key = content_key(digest)
        with _translated("store"):
            store = self._open(self.root)
            # Another size is left over from a crash: writing again repairs it, and is atomic.
            if _stored_size(store, key) != size:
                store.put(key, source)
        return Claim(f"{self.root}/{key}", digest, size, content_type)

    def _copy(self, claim: Claim, location: Location, write: Callable[[bytes], object]) -> None:
        with _translated("fetch", location.root):
            store = self._open(location.root)
            _check_stored_size(claim, store.head(location.key)["size"])
        hashed = hashlib.sha256()
        for chunk in self._chunks(store, location.key, claim.size):
            hashed.update(chunk)
            write(chunk)
        if hashed.hexdigest() != claim.sha256:
            raise ClaimMismatch(
                f"The stored object has sha256 {hashed.hexdigest()}, its claim says {claim.sha256}.",
                next_step="The file was changed after the claim was made; upload it again and submit with the new claim.",
            )

    def _chunks(self, store: obstore.store.ObjectStore, key: str, size: int) -> Iterator[bytes]:
        """Yield at most `size` bytes, even if the object has grown since its size was checked."""
        if size == 0:
            return
        with _translated("fetch"):
            for chunk in store.get(key, options={"range": (0, size)}).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def _open(self, root: str) -> obstore.store.ObjectStore:
        with self._opening:
            if root not in self._stores:
                self._stores[root] = _open_store(root, self._timeout, self._options, make=root == self.root)
            return self._stores[root]

    def _check_size(self, size: int) -> None:
        if size < 0:
            raise InvalidInput(f"A claim can't have a size of {size} bytes.")
        if size > self._max_bytes:
            raise PayloadTooLarge(f"The payload has {size} bytes; {self._max_bytes} are allowed.")


def _open_store(root: str, timeout: timedelta, options: Mapping[str, Any], *, make: bool) -> obstore.store.ObjectStore:
    """Open a store. `make`: create a missing local folder."""
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, MemoryStore, from_url

    if root.startswith("memory:"):
        return MemoryStore()
    try:
        if root.startswith("file:"):
            return LocalStore(_folder(root), mkdir=make)
        # One signature for every cloud; each cloud checks its own options.
        open_cloud = cast("Callable[..., S3Store | GCSStore | AzureStore]", from_url)
        return open_cloud(
            root,
            config=dict(options),
            client_options={
                "timeout": timeout,
                "connect_timeout": timedelta(seconds=5),
                "allow_http": str(options.get("endpoint", "")).startswith("http://"),
            },
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        )
    except (BaseError, OSError, ValueError) as error:
        raise UsageError(
            f"The object store {root} can't be opened: {_first_line(error)}", next_step="Check SLUICE_OBJECTS_URL."
        ) from error


def _folder(root: str) -> Path:
    return Path(unquote(urlsplit(root).path))


def _stored_size(store: obstore.store.ObjectStore, key: str) -> int | None:
    try:
        return store.head(key)["size"]
    except FileNotFoundError:
        return None


def _check_stored_size(claim: Claim, size: int) -> None:
    if size != claim.size:
        raise ClaimMismatch(
            f"The stored object has {size} bytes, its claim says {claim.size}.",
            next_step="The file was changed after the claim was made; upload it again and submit with the new claim.",
        )


@contextmanager
def _written_whole(target: Path) -> Iterator[Callable[[bytes], object]]:
    """Write a file that appears under its name only after everything succeeded."""
    part = target.with_name(f".{target.name[:80]}.{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file.write
        os.replace(part, target)
    except OSError as error:
        raise ConnectionFailed(f"The fetched file can't be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _translated(action: str, root: str = "") -> Iterator[None]:
    """Raise errors of our tree instead of obstore's. `root`: of the store that is asked for an object that must exist."""
    from obstore.exceptions import BaseError, InvalidPathError

    try:
        yield
    except FileNotFoundError as error:
        if root.startswith("file:") and not _folder(root).is_dir():
            raise StoreUnavailable(
                "The folder of the object store is gone; its disk may not be mounted.",
                next_step="Check SLUICE_OBJECTS_URL.",
            ) from error
        raise InvalidInput(
            "The object that the claim points to does not exist.",
            next_step="Upload the file again, and submit with its new claim.",
        ) from error
    except InvalidPathError as error:
        raise InvalidInput(f"The claim's uri can't be read: {_first_line(error)}") from error
    except (BaseError, OSError) as error:
        raise StoreUnavailable(
            f"The object store did not {action} the object: {_first_line(error)}", next_step="Check SLUICE_OBJECTS_URL."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
