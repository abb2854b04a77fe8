"""The reading end of the child's pipe. Its reader can be stopped, because another process may hold the other end open."""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PipeReader(io.RawIOBase):
    """Reads like any pipe. After `stop` the stream ends as soon as reading would block."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self._pipe = pipe
        os.set_blocking(pipe, False)
        self._woken, self._wake = os.pipe()
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Wait for bytes and read them into `buffer`; returns 0 at the end."""
        while True:
            last = self._stopped  # read before the pipe is, so that everything written before `stop` is returned
            try:
                return os.readv(self._pipe, [buffer])
            except BlockingIOError:
                if last:
                    return 0
                self._poll.poll()

    def stop(self) -> None:
        """End the stream. May be called from any thread, and more than once."""
        if not self._stopped:
            self._stopped = True
            os.write(self._wake, b"!")

    def close(self) -> None:
        if not self.closed:
            for end in (self._pipe, self._woken, self._wake):
                os.close(end)
        super().close()
