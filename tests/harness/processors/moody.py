"""A processor that does what a job tells it to: stop when asked, or not; wait, leak, die, or show what its process knows.

It answers to the name and the contract of `killer`, with policies of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from processors.policy import Batch, Limits, Policy, Recycle
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import JobCancelled, JobError
from schemas.records import EchoInput, EchoOutput

LONG_S = 60.0


class Item(NamedTuple):
    """The job's words, and its context: so a long batch can look whether it is still wanted."""

    words: str
    ctx: JobContext


class Moody:
    name, version, request, result, model_sha256 = "killer", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(4), limits=Limits(executions=3, cancel_grace_ms=300))

    def __init__(self) -> None:
        self._leaked: list[bytearray] = []

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> Item:
        return Item(job.input.message, ctx)

    def run(self, items: Sequence[Item]) -> Sequence[str | JobError]:
        return [self._do(item) for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))

    def _do(self, item: Item) -> str | JobError:
        what, _, how = item.words.partition(" ")
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "stubborn":
            time.sleep(LONG_S)
        elif what == "thread":
            threading.Thread(target=time.sleep, args=(LONG_S,)).start()
        elif what == "daemon":
            return str(_start_daemon(how))
        elif what == "cling":
            sys.stdout = Clinging()
        elif what == "nap":
            time.sleep(float(how))
        elif what == "obedient":
            return _wait_for_cancel(item.ctx)
        elif what == "tell":
            for word in how.split():
                item.ctx.stream_text(f"{word} ")
        elif what == "leak":
            self._leaked.append(bytearray(os.urandom(1)) * (int(how) << 20))
        elif what == "hog":
            hoard = bytearray(b"x") * (int(how) << 20)
            time.sleep(LONG_S)
            return str(len(hoard))
        elif what == "knows":
            return os.environ.get(how, "nothing")
        elif what == "who":
            return str(os.getpid())
        return item.words


class Clinging:
    """A stream whose flush hangs, so that the process can not exit."""

    def flush(self) -> None:
        time.sleep(LONG_S)

    def write(self, text: str) -> int:
        return len(text)


class Nervous(Moody):
    """Two crashes are enough."""

    policy = Policy(batch=Batch(4), limits=Limits(executions=2))


class Brief(Moody):
    """A processor whose process is replaced after ten jobs."""

    policy = Policy(batch=Batch(4), recycle=Recycle(jobs=10))


class BriefWithThreads(Brief):
    policy = Policy(batch=Batch(4), recycle=Recycle(jobs=10), threads=2)


class Leaky(Moody):
    """A processor whose process is replaced above 300 MiB."""

    policy = Policy(batch=Batch(1), recycle=Recycle(memory_mib=300))


class Hanging(Moody):
    def load(self, ctx: LoadContext) -> None:
        time.sleep(LONG_S)


class Leaving(Moody):
    def load(self, ctx: LoadContext) -> None:
        raise SystemExit(7)


def _start_daemon(how: str) -> int:
    """A process in a session of its own: a program that gets every file that may be inherited, or a copy of this process
    made where Python does not see it. Its id."""
    if how == "program":
        return subprocess.Popen(["sleep", str(LONG_S)], start_new_session=True, close_fds=False).pid
    pid: int = ctypes.PyDLL(None).fork()
    if pid == 0:
        os.setsid()
        time.sleep(LONG_S)
        os._exit(0)
    return pid


def _wait_for_cancel(ctx: JobContext) -> str | JobError:
    """Work until the job is cancelled, and report progress."""
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        if ctx.cancelled():
            return JobCancelled("Asked to stop.")
        ctx.progress("waiting", float("nan"), "for a cancel")
        time.sleep(0.02)
    return "never cancelled"
