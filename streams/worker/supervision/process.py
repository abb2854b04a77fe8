"""The child as the parent sees it: a process to start, two pipes, a thread that hears it, and a way to end it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from streams.settings import child_environment
from streams.worker import protocol
from streams.worker.pipe import PipeReader
from streams.worker.protocol import ChildConfig, MessageKind

PIPE_BYTES = 1 << 20
#: How long the pipe of a child that is gone may stay open.
HEAR_OUT_S = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE")


class Listener(Protocol):
    """Who hears the child. Called from its reader thread; `ended` is the last call, after every frame it wrote."""

    def heard(self, child: ChildProcess, kind: MessageKind, body: bytes) -> None: ...

    def ended(self, child: ChildProcess) -> None: ...


class ChildProcess:
    """Start it from a thread that lives as long as the worker: when that thread ends, the kernel kills the child."""

    def __init__(self, config: ChildConfig, listener: Listener) -> None:
        self._listener = listener
        self._outbox: deque[memoryview] = deque()
        self.ready: dict[str, Any] | None = None
        down_read, self._down = os.pipe()
        up_read, up_write = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams.worker.child.main", str(down_read), str(up_write), str(os.getpid())],
                pass_fds=(down_read, up_write),
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the parent's to answer; and `kill` reaches what the child started
                stdout=sys.stderr.fileno() if _has_fileno(sys.stderr) else subprocess.DEVNULL,
            )
        finally:
            os.close(down_read)
            os.close(up_write)
        for fd in (self._down, up_read):
            _widen(fd)
        os.set_blocking(self._down, False)
        self._source = PipeReader(up_read)
        self._up = io.BufferedReader(self._source, PIPE_BYTES)
        self.send(config.frame())
        self._reader = threading.Thread(target=self._listen, name=f"hear-{config.processor}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def backlog(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._outbox)

    def send(self, frame: bytes) -> None:
        """Queue a frame and write what the pipe takes. Only the main thread sends."""
        self._outbox.append(memoryview(frame))
        self.pump(0)

    def pump(self, timeout: float) -> None:
        """Write on; waits up to `timeout` for a full pipe. A child that is gone takes nothing, its end is heard."""
        if self._down < 0:
            self._outbox.clear()  # it was reaped
        while self._outbox:
            try:
                written = os.write(self._down, self._outbox[0])
            except BlockingIOError:
                if timeout <= 0 or not select.select([], [self._down], [], timeout)[1]:
                    return
                continue
            except BrokenPipeError:
                self._outbox.clear()
                return
            if written == len(self._outbox[0]):
                self._outbox.popleft()
            else:
                self._outbox[0] = self._outbox[0][written:]

    def kill(self) -> None:
        """The child and whatever it has started and left in its group."""
        self.ready = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def exited(self) -> bool:
        return self._process.poll() is not None

    @property
    def resident(self) -> int:
        """Bytes of memory that the child's own process holds now; 0 when it is gone."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
        except OSError:
            return 0

    def reap(self) -> int:
        """Wait for an ended child and let go of its pipes; its exit status, negative for a signal."""
        status = self._process.wait()
        self.hear_out()
        self._close_down()
        self._up.close()
        return status

    def hear_out(self) -> None:
        """Wait until everything that an ended child has said was heard. What it has started may hold its pipe open: that is
        killed where it can be found, and is not waited for where it can't."""
        self._process.wait()
        self.kill()
        self._reader.join(HEAR_OUT_S)
        self._source.stop()
        self._reader.join()

    def stop(self, timeout: float) -> int:
        """Close its pipe, so that it ends; kill it if it does not."""
        self._close_down()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.reap()

    def _close_down(self) -> None:
        if self._down >= 0:
            os.close(self._down)
            self._down = -1

    def _listen(self) -> None:
        while (frame := protocol.read_frame(self._up)) is not None:
            self._listener.heard(self, *frame)
        self._listener.ended(self)


def _widen(fd: int) -> None:
    """A larger pipe, so that a burst does not wait for the reader; unprivileged users may have used up their share."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except PermissionError:
            return


def _has_fileno(stream: Any) -> bool:
    try:
        stream.fileno()
    except (OSError, AttributeError, ValueError):
        return False
    return True
