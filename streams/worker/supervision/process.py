"""The child process: starting it, two pipes, the thread that reads its messages, and ending it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import signal
import subprocess
import sys
from collections import deque
from typing import Any, Protocol

from streams import logs
from streams.environment import child_environment, python_module
from streams.health.loop_threads import LoopThreads
from streams.health.memory import resident
from streams.worker import protocol
from streams.worker.pipe import PipeReader
from streams.worker.protocol import ChildConfig, MessageKind

log = logs.get("worker")

PIPE_BYTES = 1 << 20
#: How long the pipe of a child that is gone may stay open.
READ_OUT_S = 1.0
#: How long a killed child may take to be gone. One that waits in the kernel, for a device or a disk that hangs, may never be:
#: it can't answer any more, so the worker goes on without it.
REAP_S = 10.0


class Listener(Protocol):
    """Gets the child's messages, on its reader thread; `ended` is the last call, after every frame it wrote."""

    def handle(self, child: ChildProcess, kind: MessageKind, body: bytes) -> None: ...

    def ended(self, child: ChildProcess) -> None: ...


class ChildProcess:
    """Create it in a thread that lives as long as the worker: when that thread ends, the kernel kills the child."""

    def __init__(self, config: ChildConfig, listener: Listener, threads: LoopThreads) -> None:
        self._listener = listener
        self._read_to_the_end = False
        self.helpers: tuple[int, ...] = ()  # process ids of its helper processes
        self._outbox: deque[memoryview] = deque()
        down_read, self._down = os.pipe()
        up_read, up_write = os.pipe()
        try:
            self._process = subprocess.Popen(
                python_module("streams.worker.child.main", str(down_read), str(up_write), str(os.getpid())),
                pass_fds=(down_read, up_write),
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # the parent handles Ctrl-C; and `kill` reaches processes that the child started
                stdout=sys.stderr.fileno() if _has_fileno(sys.stderr) else subprocess.DEVNULL,
            )
        finally:
            os.close(down_read)
            os.close(up_write)
        for fd in (self._down, up_read):
            _widen(fd)
        os.set_blocking(self._down, False)
        self._pipe = PipeReader(up_read)
        self._up = io.BufferedReader(self._pipe, PIPE_BYTES)
        self.send(config.frame())
        self._reader = threads.new(f"read-{config.processor}", self._read, lambda: self._read_to_the_end)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def backlog(self) -> bool:
        """True while frames wait to be written."""
        return bool(self._outbox)

    def send(self, frame: bytes) -> None:
        """Queue a frame and write what the pipe takes. For the engine's thread only."""
        self._outbox.append(memoryview(frame))
        self.pump(0)

    def pump(self, timeout: float) -> None:
        """Write queued frames; wait up to `timeout` for a full pipe. Frames to a child that is gone are dropped."""
        if self._down < 0:
            self._outbox.clear()  # already reaped
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
        """Kill the child and the processes that it started and left in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def exited(self) -> bool:
        return self._process.poll() is not None

    @property
    def resident(self) -> int:
        """Resident memory of the child's process and its helpers, in bytes; 0 when they are gone."""
        return sum(resident(pid) or 0 for pid in (self.pid, *self.helpers))

    def reap(self) -> int:
        """Wait for an ended child and close its pipes. Return its exit status, negative for a signal."""
        self.read_out()
        self._close_down()
        if not self._reader.is_alive():
            self._up.close()
        status = self._process.poll()
        return -signal.SIGKILL if status is None else status

    def read_out(self) -> None:
        """Wait until every message of an ended child is handled. Processes that it started may hold its pipe open: those in its
        group are killed, others are not waited for."""
        self._wait()
        self.kill()
        self._reader.join(READ_OUT_S)
        self._pipe.stop()
        self._reader.join(REAP_S)

    def stop(self, timeout: float) -> int:
        """Close its pipe, so that it ends; kill it if it has not ended after `timeout`."""
        self._close_down()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.reap()

    def _wait(self) -> None:
        """Wait for an ended or killed child."""
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            log.error("child_unkillable", child=self.pid)

    def _close_down(self) -> None:
        if self._down >= 0:
            os.close(self._down)
            self._down = -1

    def _read(self) -> None:
        while (frame := protocol.read_frame(self._up)) is not None:
            self._listener.handle(self, *frame)
        self._listener.ended(self)
        self._read_to_the_end = True


def _widen(fd: int) -> None:
    """Enlarge a pipe, so that a burst does not wait for the reader. Refused to a user who has used up the share of pipe
    memory."""
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
