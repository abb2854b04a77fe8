"""Messages between the child and its helper processes: pickled, with large buffers beside the pickle in shared memory.

A buffer is not a file that has a name: its descriptor travels with the message, so nothing is left behind by a process that is
killed. Both ends are processes of one worker, so pickle reads nothing that others have written.
"""

from __future__ import annotations

import copyreg
import io
import mmap
import os
import pickle
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from processors import tensors
from streams.worker.child.context import WorkerJobContext

#: Bytes. A smaller buffer is copied with the message.
LEAST_SHARED = 16 * 1024
#: Buffers begin at multiples of this, as numpy and torch would place them for their vector instructions.
ALIGNMENT = 64
_HEAD = struct.Struct("<II")  # bytes of the pickle, number of buffers

#: Returns what stands for a context in a message.
SaveContext = Callable[[WorkerJobContext], Any]
#: Returns the context that a message's stand-in is for.
FindContext = Callable[[Any], WorkerJobContext]


class Connection:
    """A socket's end. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket, scratch: Path, save_context: SaveContext, find_context: FindContext) -> None:
        self._socket = end
        self._scratch = scratch
        self._save_context, self._find_context = save_context, find_context
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Send a message. Raises what pickle raises for an object that can't be sent, and OSError if the other end is gone."""
        body, buffers = self._pickled(message)
        sizes = [buffer.nbytes for buffer in buffers]
        head = _HEAD.pack(len(body), len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
        shared = _shared(buffers, self._scratch) if buffers else None
        try:
            with self._lock:
                if shared is None:
                    self._socket.sendall(head + body)
                else:
                    socket.send_fds(self._socket, [head[: _HEAD.size]], [shared])
                    self._socket.sendall(head[_HEAD.size :] + body)
        finally:
            if shared is not None:
                os.close(shared)

    def receive(self) -> Any:
        """Wait for the next message. Raises EOFError at the end."""
        head, found, _, _ = socket.recv_fds(self._socket, _HEAD.size, 1)
        try:
            if len(head) < _HEAD.size:
                head += self._read(_HEAD.size - len(head), at_start=not head)
            length, count = _HEAD.unpack(head)
            sizes = struct.unpack(f"<{count}Q", self._read(8 * count)) if count else ()
            body = self._read(length)
            return _Unpickler(body, _views(found[0], sizes) if found else [], self._find_context).load()
        finally:
            for each in found:
                os.close(each)

    def end(self) -> None:
        """Tell the other end that nothing more comes; what it sends is still received."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def _read(self, count: int, *, at_start: bool = False) -> bytes:
        data = bytearray(count)
        view, at = memoryview(data), 0
        while at < count:
            got = self._socket.recv_into(view[at:])
            if not got:
                raise EOFError("the other end is gone" if at_start else "the other end is gone within a message")
            at += got
        return bytes(data)

    def _pickled(self, message: Any) -> tuple[bytes, list[memoryview]]:
        buffers: list[memoryview] = []

        def keep_in_the_message(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < LEAST_SHARED:
                return True
            buffers.append(raw)
            return False

        out = io.BytesIO()
        _Pickler(out, keep_in_the_message, self._save_context).dump(message)
        return out.getvalue(), buffers


class _Pickler(pickle.Pickler):
    def __init__(self, out: io.BytesIO, on_buffer: Callable[[pickle.PickleBuffer], Any], save: SaveContext) -> None:
        super().__init__(out, protocol=5, buffer_callback=on_buffer)
        self.dispatch_table: Mapping[type, Any] = {**copyreg.dispatch_table, **tensors.reducers()}
        self._save = save

    def persistent_id(self, obj: Any) -> Any:
        return self._save(obj) if type(obj) is WorkerJobContext else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, body: bytes, buffers: list[memoryview], find: FindContext) -> None:
        super().__init__(io.BytesIO(body), buffers=buffers)
        self._find = find

    def persistent_load(self, pid: Any) -> WorkerJobContext:
        return self._find(pid)


# ── shared memory ──


def _places(sizes: Any) -> Iterator[int]:
    """Yield where each buffer begins, and last where they end."""
    at = 0
    for size in sizes:
        yield at
        at += -(-size // ALIGNMENT) * ALIGNMENT
    yield at


def _shared(buffers: list[memoryview], scratch: Path) -> int:
    """Return the descriptor of new memory that has these buffers."""
    memory = _memory(scratch)
    *places, end = _places([buffer.nbytes for buffer in buffers])
    os.ftruncate(memory, end)
    for place, buffer in zip(places, buffers, strict=True):
        view = buffer
        while view.nbytes:
            written = os.pwrite(memory, view, place)
            view, place = view[written:], place + written
    return memory


def _views(memory: int, sizes: tuple[int, ...]) -> list[memoryview]:
    """Map the buffers. The mapping is private and writable, and lasts as long as an array that lies in it."""
    *places, end = _places(sizes)
    mapped = memoryview(mmap.mmap(memory, end, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    return [mapped[place : place + size] for place, size in zip(places, sizes, strict=True)]


def _memory(scratch: Path) -> int:
    """Return the descriptor of memory that ends with its last user: where there is none without a name, of a deleted file."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sluice", os.MFD_CLOEXEC)
    descriptor, name = tempfile.mkstemp(dir=scratch)
    os.unlink(name)
    return descriptor
