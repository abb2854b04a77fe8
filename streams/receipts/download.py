"""Writes a result to a folder: `output.json`, and each of its files under a name.

Each file is written under a temporary name, compared with its hash, and only then given its name. No existing file is replaced
unless that is asked for; one that has the right content already is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from uuid import uuid4

from connectors.claim_store import ClaimStore
from connectors.views import JobView
from schemas.errors import Conflict, InvalidInput, NotFound, UsageError
from schemas.plain import json_form
from schemas.records import Claim
from streams.receipts.file_names import name_of

OUTPUT = "output.json"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a result. `written`: False if it was there already, with this content."""

    path: str
    sha256: str
    size: int
    content_type: str
    written: bool


def write_result(
    view: JobView, store: ClaimStore, folder: Path, *, force: bool = False, on_bytes: OnBytes = lambda _: None
) -> list[WrittenFile]:
    """Write the output and the files of a job that has completed; return them, the output first.

    `force`: replace files that have another content. `on_bytes` is called with the size of each piece that was written.
    Raises Conflict before anything is written for a name that is taken, UsageError for a folder that can't be used,
    NotFound for a file that is gone, ClaimMismatch for one that was altered, StoreUnavailable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        output = (json.dumps(view.output, indent=2, ensure_ascii=False, default=json_form) + "\n").encode()
        made = Claim("", hashlib.sha256(output).hexdigest(), len(output), "application/json")
        targets = [(folder / OUTPUT, made, iter([output])), *_files(view, store, folder)]
        taken = [path.name for path, claim, _ in targets if path.exists() and not _has(path, claim)]
        if taken and not force:
            raise Conflict(
                f"{folder} has other files under these names: {', '.join(taken)}.",
                next_step="Give another --output-dir, or replace them with --force.",
            )
        return [_write(path, claim, pieces, on_bytes, force=force) for path, claim, pieces in targets]
    except OSError as error:
        raise UsageError(f"The folder {str(folder)!r} can't be written: {error.strerror or error}.") from error


def _files(view: JobView, store: ClaimStore, folder: Path) -> Iterator[tuple[Path, Claim, Iterator[bytes]]]:
    """Yield path, claim and bytes of each file, once. The first bytes are read, because they decide its ending."""
    names = {OUTPUT}
    for claim in {claim.sha256: claim for claim in view.refs}.values():
        pieces = store.read(claim)
        try:
            head = next(pieces, b"")
        except InvalidInput as error:  # its uri is the store's own, so the object is gone
            raise NotFound("A file of the result is no longer stored.", next_step="Run the job again.") from error
        name = _unique(name_of(claim, view.output, head), names)
        names.add(name)
        yield folder / name, claim, chain([head], pieces)


def _unique(name: str, taken: set[str]) -> str:
    """Return a plain file name that is not taken: a field's name may be the key of a map, which may be any text."""
    plain = _UNSAFE.sub("_", name).lstrip(".")[-200:] or "file"
    stem, dot, ending = plain.partition(".")
    return next(
        each for n in count(1) if (each := plain if n == 1 else f"{stem}-{n}{dot}{ending}").lower() not in taken
    )


def _has(path: Path, claim: Claim) -> bool:
    """True if the file has the claim's content."""
    if not path.is_file() or path.stat().st_size != claim.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == claim.sha256


def _write(path: Path, claim: Claim, pieces: Iterable[bytes], on_bytes: OnBytes, *, force: bool) -> WrittenFile:
    written = WrittenFile(str(path), claim.sha256, claim.size, claim.content_type, written=True)
    if path.exists() and _has(path, claim):
        on_bytes(claim.size)
        return WrittenFile(str(path), claim.sha256, claim.size, claim.content_type, written=False)
    part = path.with_name(f".{path.name[:80]}.{uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            for piece in pieces:  # the store compares the hash before it gives the last piece
                stream.write(piece)
                on_bytes(len(piece))
        _place(part, path, force)
    finally:
        part.unlink(missing_ok=True)
    return written


def _place(part: Path, path: Path, force: bool) -> None:
    """Give a written file its name. Without `force` a file that has come there meanwhile is not replaced."""
    if force:
        os.replace(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise Conflict(f"{path} has come into being meanwhile.", next_step="Run the command again.") from error
    except OSError:  # a file system without links
        os.replace(part, path)
