"""The processes of a visit: started together, and all gone when it ends, however it ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from schemas.errors import SluiceError, StartupError
from streams.environment import environment

_STOP_S = 10.0
_POLL_S = 0.05
ROOT = Path(__file__).parents[2]


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that whatever runs is cleaned up."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Processes:
    """Starts processes, each in a process group of its own; leaving the context ends every group."""

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        self._logs = logs
        self._env = {**environment(), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        self._started: dict[str, subprocess.Popen[str]] = {}
        self._files = ExitStack()
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started.values():
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            _signal_group(process, signal.SIGTERM)
        give_up = time.monotonic() + _STOP_S
        for process in self._started.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, give_up - time.monotonic()))
            _signal_group(process, signal.SIGKILL)  # what the leader left behind, too
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._files.close()

    def start(self, name: str, argv: Sequence[str], cwd: Path = ROOT, *, talks: bool = False) -> subprocess.Popen[str]:
        """Start a process that logs to a file. `talks`: its standard input and output are pipes to us."""
        log = self._files.enter_context(self.log(name).open("w"))
        pipe = subprocess.PIPE if talks else None
        process = subprocess.Popen(
            argv, cwd=cwd, env=self._env, stdin=pipe or subprocess.DEVNULL, stdout=pipe or log,
            stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
        self._started[name] = process
        return process

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._started.items()}

    def check(self) -> None:
        """Raise StartupError if one of them has ended, with the end of its log."""
        for name, process in self._started.items():
            if process.poll() is not None:
                end = self.log(name).read_text(errors="replace")[-800:].strip()
                raise StartupError(
                    f"{name} ended with exit status {process.returncode}.", next_step=f"Its log ends:\n{end}"
                )

    def wait_for(self, name: str, text: str, timeout_s: float) -> None:
        """Wait until a log holds `text`. Raises StartupError if its process ends or takes longer."""
        give_up = time.monotonic() + timeout_s
        while text not in self.log(name).read_text(errors="replace"):
            self.check()
            if time.monotonic() > give_up:
                raise StartupError(f"{name} was not ready after {timeout_s:.0f} s.", next_step=f"See {self.log(name)}.")
            time.sleep(_POLL_S)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class Client:
    """The process that submits (load.py)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, do: str, **arguments: Any) -> Mapping[str, Any]:
        """Send a command and return its answer. Raises SluiceError if the client has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SluiceError(f"The client ended during `{do}`.", next_step="See its log, which is named above.")
        parsed: Mapping[str, Any] = json.loads(answer)
        return parsed


class ReceiverProcess:
    """bench/receiver.py as a process, and the arrivals that it reports."""

    ARGV = (sys.executable, "-P", "-m", "bench.receiver", "--arrivals")

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.url = json.loads(self._lines.readline())["url"]
        self._arrivals: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="arrivals", daemon=True).start()

    def stats(self) -> Mapping[str, float]:
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            parsed: Mapping[str, float] = json.load(answer)
        return parsed

    def wait_for(self, phase: str, wanted: set[int], timeout_s: float) -> dict[int, float]:
        """Return when the callbacks with these numbers came; without those that do not come within `timeout_s`."""
        found: dict[int, float] = {}
        give_up = time.monotonic() + timeout_s
        while wanted - found.keys():
            try:
                path, at = self._arrivals.get(timeout=max(0.0, give_up - time.monotonic()))
            except queue.Empty:
                break
            of, _, number = path.removeprefix("/callback/").partition("/")
            if of == phase and int(number) in wanted:
                found.setdefault(int(number), at)
        return found

    def _read(self) -> None:
        with suppress(ValueError):  # closed while it was read, at the end of the visit
            for line in self._lines:
                path, at = json.loads(line)
                self._arrivals.put((path, at))
