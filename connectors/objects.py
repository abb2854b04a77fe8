"""Claim checks: payloads stored outside the log, under the sha256 of their content.

`ObjectStore` implements the port `connectors.claim_store.ClaimStore` on a local folder, S3, Google Cloud Storage, Azure, or
(`memory://`, for tests) inside the process. Content addressing makes `put` idempotent and lets `fetch` verify what it read.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.claim_store import StoredObject
from connectors.claim_uris import (
    CONTENTS,
    INCOMING,
    NAMED,
    TRASH,
    Location,
    content_key,
    is_content_key,
    locate,
    named_key,
    root_uri,
)
from connectors.incoming_object import IncomingObject
from connectors.object_backend import CHUNK, is_fresh, move, open_store, staged_leftovers, translated, written_whole
from schemas.errors import ClaimMismatch, Conflict, InvalidInput, PayloadTooLarge
from schemas.records import Claim

if TYPE_CHECKING:
    import obstore.store

DEFAULT_LIMIT = 4 << 30


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

    def uri_of(self, sha256: str) -> str:
        """Return the uri of a content of this store. Raises InvalidInput for what is no hash."""
        return f"{self.root}/{content_key(sha256)}"

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
        with written_whole(target) as write:
            self._copy(claim, location, write)
        return target

    def read(self, claim: Claim, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = claim.size if stop is None else min(stop, claim.size)
        location = locate(claim.uri, self._roots)
        store = self._found(claim, location)
        hashed, last = hashlib.sha256(), b""
        whole = start == 0 and end == claim.size
        for chunk in self._chunks(store, location.key, end, start):
            if last:
                yield last
            last = chunk
            if whole:
                hashed.update(chunk)
        if whole:
            _check_sha256(claim, hashed.hexdigest())
        if last:
            yield last

    def has(self, claim: Claim) -> bool:
        try:
            self._found(claim, locate(claim.uri, self._roots))
        except (InvalidInput, ClaimMismatch):
            return False
        return True

    def put_named(self, name: str, data: bytes) -> None:
        self._check_size(len(data))
        with translated("store"):
            self._open(self.root).put(named_key(name), data)

    def get_named(self, name: str) -> bytes | None:
        with translated("fetch"):
            try:
                return bytes(self._open(self.root).get(named_key(name)).bytes())
            except FileNotFoundError:
                return None

    def delete_named(self, name: str) -> None:
        with translated("remove"), suppress(FileNotFoundError):
            self._open(self.root).delete(named_key(name))

    def receive(self, name: str | None = None, max_bytes: int | None = None) -> IncomingObject:
        """Return an object to be written in pieces. `name`: of an object that another program writes (`presigned`)."""
        key = f"{INCOMING}/{name or uuid.uuid4()}"
        with translated("store"):
            store = self._open(self.root)
        return IncomingObject(store, self.root, key, self._max_bytes if max_bytes is None else max_bytes)

    def presigned(self, name: str, expires_s: float) -> str | None:
        """Return a URL to which the bytes of `receive(name)` may be put; None if this kind of store has none.

        Raises StoreUnavailable."""
        import obstore
        from obstore.store import AzureStore, GCSStore, S3Store

        with translated("sign"):
            store = self._open(self.root)
            if not isinstance(store, S3Store | GCSStore | AzureStore):
                return None
            return obstore.sign(store, "PUT", f"{INCOMING}/{name}", timedelta(seconds=expires_s))

    def incoming_chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes that another program has put to `presigned(name)`. Raises Conflict if there are none."""
        with translated("fetch"):
            try:
                found = self._open(self.root).get(f"{INCOMING}/{name}")
            except FileNotFoundError as error:
                raise Conflict(
                    "The object store has no object of this upload yet.",
                    next_step="Send the bytes to the upload's url first, then complete it.",
                ) from error
            for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    # ── collecting garbage ──

    def contents(self) -> Iterator[StoredObject]:
        yield from self._listed(CONTENTS)

    def retired(self) -> Iterator[StoredObject]:
        yield from self._listed(TRASH)

    def named(self, folder: str) -> Iterator[tuple[str, datetime]]:
        import obstore

        with translated("list"):
            for batch in obstore.list(self._open(self.root), named_key(folder)):
                for each in batch:
                    yield each["path"].removeprefix(NAMED), each["last_modified"]

    def retire(self, content: StoredObject) -> bool:
        key = content_key(content.sha256)
        with translated("remove"), suppress(FileNotFoundError):
            store = self._open(self.root)
            if store.head(key)["last_modified"] == content.modified:
                move(store, key, f"{TRASH}/{key}", content.size)
                return True
        return False

    def restore(self, content: StoredObject) -> None:
        key = content_key(content.sha256)
        with translated("store"), suppress(FileNotFoundError):
            move(self._open(self.root), f"{TRASH}/{key}", key, content.size)

    def delete(self, sha256: str, *, retired_only: bool = False) -> bool:
        key, found = content_key(sha256), False
        with translated("remove"):
            store = self._open(self.root)
            for each in (f"{TRASH}/{key}",) if retired_only else (key, f"{TRASH}/{key}"):
                with suppress(FileNotFoundError):
                    store.head(each)  # S3 also answers a deletion of nothing with success
                    store.delete(each)
                    found = True
        return found

    def delete_leftovers(self, older_than_s: float, *, dry_run: bool = False) -> int:
        import obstore

        before, count = datetime.now(UTC) - timedelta(seconds=older_than_s), 0
        with translated("list"):
            store = self._open(self.root)
            for batch in obstore.list(store, INCOMING):
                old = [each["path"] for each in batch if each["last_modified"] < before]
                count += len(old)
                if old and not dry_run:
                    obstore.delete(store, old)
        return count + staged_leftovers(self.root, INCOMING, before.timestamp(), dry_run=dry_run)

    def _listed(self, prefix: str) -> Iterator[StoredObject]:
        import obstore

        with translated("list"):
            for batch in obstore.list(self._open(self.root), prefix):
                for each in batch:
                    sha256 = each["path"].rpartition("/")[2]
                    if is_content_key(each["path"].removeprefix(f"{TRASH}/")):
                        yield StoredObject(sha256, each["size"], each["last_modified"])

    def _put(self, source: Path | bytes, digest: str, size: int, content_type: str) -> Claim:
        key = content_key(digest)
        with translated("store"):
            store = self._open(self.root)
            if not is_fresh(store, key, size):
                store.put(key, source)  # atomic, and repairs an object of another size
        return Claim(f"{self.root}/{key}", digest, size, content_type)

    def _found(self, claim: Claim, location: Location) -> obstore.store.ObjectStore:
        """Return the store that has the claim's object, after comparing its size."""
        with translated("fetch", location.root):
            store = self._open(location.root)
            try:
                size = store.head(location.key)["size"]
            except FileNotFoundError:
                if location.root != self.root or not is_content_key(location.key):
                    raise
                self._take_out_of_trash(store, location.key)
                size = store.head(location.key)["size"]
            _check_stored_size(claim, size)
            return store

    def _copy(self, claim: Claim, location: Location, write: Callable[[bytes], object]) -> None:
        store = self._found(claim, location)
        hashed = hashlib.sha256()
        for chunk in self._chunks(store, location.key, claim.size):
            hashed.update(chunk)
            write(chunk)
        _check_sha256(claim, hashed.hexdigest())

    def _take_out_of_trash(self, store: obstore.store.ObjectStore, key: str) -> None:
        move(store, f"{TRASH}/{key}", key, store.head(f"{TRASH}/{key}")["size"])

    def _chunks(self, store: obstore.store.ObjectStore, key: str, end: int, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes up to `end`, even if the object has grown since its size was checked."""
        if end <= start:
            return
        with translated("fetch"):
            for chunk in store.get(key, options={"range": (start, end)}).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def _open(self, root: str) -> obstore.store.ObjectStore:
        with self._opening:
            if root not in self._stores:
                self._stores[root] = open_store(root, self._timeout, self._options, make=root == self.root)
            return self._stores[root]

    def _check_size(self, size: int) -> None:
        if size < 0:
            raise InvalidInput(f"A claim can't have a size of {size} bytes.")
        if size > self._max_bytes:
            raise PayloadTooLarge(f"The payload has {size} bytes; {self._max_bytes} are allowed.")


def _check_sha256(claim: Claim, sha256: str) -> None:
    if sha256 != claim.sha256:
        raise ClaimMismatch(
            f"The stored object has sha256 {sha256}, its claim says {claim.sha256}.",
            next_step="The file was changed after the claim was made; upload it again and submit with the new claim.",
        )


def _check_stored_size(claim: Claim, size: int) -> None:
    if size != claim.size:
        raise ClaimMismatch(
            f"The stored object has {size} bytes, its claim says {claim.size}.",
            next_step="The file was changed after the claim was made; upload it again and submit with the new claim.",
        )
