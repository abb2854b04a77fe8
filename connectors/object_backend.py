"""Opens obstore's stores, translates their errors, and moves objects within one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from schemas.errors import ConnectionFailed, InvalidInput, StoreUnavailable, UsageError

if TYPE_CHECKING:
    import obstore.store
    from obstore.store import AzureStore, GCSStore, S3Store

#: Bytes per step of a stream: small enough for a worker's memory, large enough that hashing dominates the time.
CHUNK = 1 << 20
#: S3 copies at most so many bytes by itself; a larger object is streamed through this process.
LARGEST_COPY = 5 << 30
#: Bytes of one part of a multipart upload, and how many are sent at a time: both bound the memory of a streamed object.
PART = 8 << 20
PARTS_AT_ONCE = 4


def open_store(root: str, timeout: timedelta, options: Mapping[str, Any], *, make: bool) -> obstore.store.ObjectStore:
    """Open a store. `make`: create a missing local folder."""
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, MemoryStore, from_url

    if root.startswith("memory:"):
        return MemoryStore()
    try:
        if root.startswith("file:"):
            return LocalStore(folder_of(root), mkdir=make)
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
            f"The object store {root} can't be opened: {first_line(error)}", next_step="Check SLUICE_OBJECTS_URL."
        ) from error


def folder_of(root: str) -> Path:
    return Path(unquote(urlsplit(root).path))


#: Seconds for which a stored object counts as new. An older one is written again when its content is stored again: garbage
#: collection goes by an object's age, so content that is about to be referred to must be young (docs/adr/0025).
FRESH_S = 3600.0


def is_fresh(store: obstore.store.ObjectStore, key: str, size: int) -> bool:
    """True if the object exists whole, and was written a short while ago. Another size is left over from a crash."""
    try:
        found = store.head(key)
    except FileNotFoundError:
        return False
    age_s = (datetime.now(UTC) - found["last_modified"]).total_seconds()
    return found["size"] == size and age_s < FRESH_S


@contextmanager
def written_whole(target: Path) -> Iterator[Callable[[bytes], object]]:
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
def translated(action: str, root: str = "") -> Iterator[None]:
    """Raise errors of our tree instead of obstore's. `root`: of the store that is asked for an object that must exist."""
    from obstore.exceptions import BaseError, InvalidPathError

    try:
        yield
    except FileNotFoundError as error:
        if root.startswith("file:") and not folder_of(root).is_dir():
            raise StoreUnavailable(
                "The folder of the object store is gone; its disk may not be mounted.",
                next_step="Check SLUICE_OBJECTS_URL.",
            ) from error
        raise InvalidInput(
            "The object that the claim points to does not exist.",
            next_step="Upload the file again, and submit with its new claim.",
        ) from error
    except InvalidPathError as error:
        raise InvalidInput(f"The claim's uri can't be read: {first_line(error)}") from error
    except (BaseError, OSError) as error:
        raise StoreUnavailable(
            f"The object store did not {action} the object: {first_line(error)}", next_step="Check SLUICE_OBJECTS_URL."
        ) from error


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def move(store: obstore.store.ObjectStore, source: str, target: str, size: int) -> None:
    """Move an object within its store, replacing the target; afterwards the target counts as new."""
    import obstore
    from obstore.store import LocalStore

    if isinstance(store, LocalStore):
        obstore.rename(store, source, target)
        os.utime(Path(str(store.prefix)) / target)
        return
    if size <= LARGEST_COPY:
        obstore.copy(store, source, target)
    else:
        stream = obstore.get(store, source).stream(min_chunk_size=PART)
        obstore.put(store, target, stream, chunk_size=PART, max_concurrency=PARTS_AT_ONCE)
    obstore.delete(store, source)


def staged_leftovers(root: str, folder: str, before: float, *, dry_run: bool) -> int:
    """Delete what killed processes have left of unfinished objects in a folder of a local store, which hides such files;
    return how many there were. Clouds do this by a lifecycle rule for incomplete multipart uploads."""
    if not root.startswith("file:"):
        return 0
    old = [path for path in (folder_of(root) / folder).glob("*#*") if path.stat().st_mtime < before]
    for path in old:
        if not dry_run:
            path.unlink(missing_ok=True)
    return len(old)
