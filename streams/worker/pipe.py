"""The reading end of the child's pipe, which can be told that enough was said: somebody else may hold the other end open."""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PipeReader(io.RawIOBase):
    """Reads like any pipe. After `enough` it ends where nothing more can be read at once."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self._pipe = pipe
        os.set_blocking(pipe, False)
        self._woken, self._wake = os.pipe()
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._enough = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Waits for something; 0 at the end."""
        while True:
            last = self._enough  # looked at first: what was written before is read
            try:
                return os.readv(self._pipe, [buffer])
            except BlockingIOError:
                if last:
                    return 0
                self._poll.poll()

    def enough(self) -> None:
        """From any thread; more than once is no harm."""
        if not self._enough:
            self._enough = True
            os.write(self._wake, b"!")

    def close(self) -> None:
        if not self.closed:
            for end in (self._pipe, self._woken, self._wake):
                os.close(end)
        super().close()
