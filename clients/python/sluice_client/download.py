"""Downloads a file of a result: streamed to a part file, resumed by Range, its hash checked, then moved to its name at once."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from sluice_client.context import Context
from sluice_client.errors import HashMismatch, SluiceError, UsageError, error_of
from sluice_client.exchange import Attempts, may_pass, read_all, unreachable
from sluice_client.models import File
from sluice_client.wire import Answer, Blocking, Broken, Open, Operation, Read, Sleep

_MIB = 1 << 20


class PartFile:
    """Bytes that have come so far, beside the target, and their hash. A later download of the same content continues it."""

    def __init__(self, target: Path, file: File) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name[:60]}.{file.sha256[:16]}.part")
        self._expected = file
        self._hash = hashlib.sha256()
        self._out: BinaryIO | None = None
        #: False if only this download knows the file's name, so that no later one can continue it.
        self._shared = True
        self.size = 0

    def open(self) -> None:
        """Open the file behind what is there. Another process that downloads the same keeps its own file."""
        out = open(self._path, "a+b")  # noqa: SIM115 - closed by the operation
        if not _lock(out) or not os.path.samestat(os.fstat(out.fileno()), os.stat(self._path)):
            out.close()
            self._path = self._path.with_name(f"{self._path.name[:-5]}.{uuid4().hex[:8]}.part")
            self._shared = False
            out = open(self._path, "a+b")  # noqa: SIM115
        self._out = out
        self._out.seek(0)
        while block := self._out.read(_MIB):
            self._hash.update(block)
            self.size += len(block)
        if self.size > self._expected.size:
            self.restart()

    def write(self, block: bytes) -> None:
        assert self._out is not None
        self._out.write(block)
        self._hash.update(block)
        self.size += len(block)

    def restart(self) -> None:
        assert self._out is not None
        self._out.truncate(0)
        self._hash, self.size = hashlib.sha256(), 0

    def finish(self) -> None:
        """Move the file to its name. Raises HashMismatch, and removes it, if it is not the expected content."""
        assert self._out is not None
        if (self.size, self._hash.hexdigest()) != (self._expected.size, self._expected.sha256):
            self.close()
            self._path.unlink(missing_ok=True)
            raise HashMismatch(
                f"The file has {self.size} bytes and another sha256 than the result says.", "Download it again."
            )
        self._out.flush()
        os.fsync(self._out.fileno())
        self.close()
        os.replace(self._path, self._target)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None

    def abandon(self) -> None:
        """Close the file, if it is not finished; keep it for a later download."""
        self.close()
        if not self._shared:
            self._path.unlink(missing_ok=True)


def download(context: Context, file: File, path: str | os.PathLike[str]) -> Operation[Path]:
    """Fetch a file, over as many connections as it takes. Raises as `exchange`, and HashMismatch, OSError."""
    target: Path = yield Blocking(partial(_target, file, os.fspath(path)))
    part = PartFile(target, file)
    attempts = Attempts(context)
    try:
        yield Blocking(part.open)
        while part.size < file.size:
            before = part.size
            retry_after_s = None
            try:
                yield from _fetch(context, file, part)
                break
            except Broken as broken:
                error: SluiceError = unreachable(broken)
            except SluiceError as refused:
                if not may_pass(getattr(refused, "status", 0), refused):
                    raise
                error, retry_after_s = refused, getattr(refused, "retry_after_s", None)
            if part.size > before:  # it got on, so the failures before do not count
                attempts = Attempts(context)
            delay = attempts.next_delay(retry_after_s)
            if delay is None:
                raise error
            yield Sleep(delay)
        yield Blocking(part.finish)
    finally:
        part.abandon()
    return target


def _fetch(context: Context, file: File, part: PartFile) -> Operation[None]:
    """Read the rest of the file over one connection. Raises Broken if it ends early."""
    headers = {"range": f"bytes={part.size}-", "if-range": f'"{file.sha256}"'} if part.size else {}
    head: Answer = yield Open(context.request("GET", file.href, headers=headers))
    if head.status not in (200, 206):
        raise error_of(Answer(head.status, head.headers, (yield from read_all(context, head))))
    if head.status == 200 or not head.headers.get("content-range", "").startswith(f"bytes {part.size}-"):
        yield Blocking(part.restart)
        if head.status == 206:
            raise Broken("another range than asked", True)
    block = bytearray()
    broken: Broken | None = None
    try:
        while chunk := (yield Read()):
            block += chunk
            if part.size + len(block) > file.size:
                break  # too long: the hash check refuses it
            if len(block) >= _MIB:
                yield Blocking(partial(part.write, bytes(block)))
                block.clear()
    except Broken as error:
        broken = error
    yield Blocking(partial(part.write, bytes(block)))
    if broken is not None:
        raise broken
    if part.size < file.size:
        raise Broken("the answer ended early", True)


def _lock(file: BinaryIO) -> bool:
    """Return whether no other process has the file; True where there are no locks (Windows)."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _target(file: File, path: str) -> Path:
    """Return where the file goes. A path that ends with a separator is a folder, and is made if there is none."""
    folder = Path(path)
    if path.endswith(tuple(filter(None, (os.sep, os.altsep)))):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / _safe_name(file) if folder.is_dir() else folder


def _safe_name(file: File) -> str:
    """Return the last part of the file's name, for a folder as target. Raises UsageError if none is left."""
    name = file.name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    if name in ("", ".", ".."):
        raise UsageError("The file has no usable name.", "Give the name of the target, not only its folder.")
    return name
