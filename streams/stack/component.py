"""The interface of a component of the stack (Kafka, registry, Postgres), and what it gets to start with."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from schemas.errors import StartupError
from streams.stack.downloads import Cache
from streams.stack.events import Reporter
from streams.stack.supervise import ServiceSpec

_PAUSE = 0.02


@dataclass(frozen=True)
class Home:
    """The folder of one stack (usually `<project>/.sluice`) and its layout."""

    root: Path

    def make(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        # So that no file of the stack is committed to the repository around it.
        (self.root / ".gitignore").write_text("*\n")

    def data(self, component: str) -> Path:
        return self.root / component

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    @property
    def records(self) -> Path:
        return self.root / "run"

    @property
    def scratch(self) -> Path:
        return self.root / "tmp"


@dataclass(frozen=True)
class StartContext:
    """The things a component may use while it prepares and starts."""

    home: Home
    cache: Cache
    report: Reporter
    check: Callable[[], None]
    """Raises Cancelled if the start was cancelled; every loop that may last must call it."""

    def run_tool(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, user: int | None = None, stdin: str = ""
    ) -> None:
        """Run a short program to its end. It is killed if the start is cancelled. Raises StartupError with its output."""
        output = self.home.scratch / f"{Path(argv[0]).name}-{os.getpid()}-{time.monotonic_ns()}.out"
        with output.open("wb") as file:
            tool = subprocess.Popen(
                argv, env=env, cwd=cwd, user=user, group=user, extra_groups=None if user is None else [],
                stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                self._feed_and_wait(tool, stdin)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(tool.pid, signal.SIGKILL)
                tool.wait()
        printed = output.read_text(errors="replace")
        output.unlink()
        if tool.returncode != 0:
            raise StartupError(
                f"{Path(argv[0]).name} failed (exit status {tool.returncode}).",
                next_step=f"Its output:\n{printed[-2000:]}",
            )

    def _feed_and_wait(self, tool: subprocess.Popen[bytes], stdin: str) -> None:
        assert tool.stdin is not None
        with suppress(BrokenPipeError), tool.stdin as pipe:  # it may end without reading
            pipe.write(stdin.encode())
        while tool.poll() is None:
            self.check()
            time.sleep(_PAUSE)


class Component(Protocol):
    """A program of the stack that others connect to."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def ports(self) -> Mapping[str, int]:
        """Default ports by name; clients use the one with the component's own name."""
        ...

    def prepare(self, context: StartContext) -> None:
        """Do everything needed before the first start: downloads, formatting. Does nothing if done already."""
        ...

    def service(self, home: Home, ports: Mapping[str, int], cache: Cache) -> ServiceSpec:
        """Return how to run the component on these ports."""
        ...

    def answers(self, address: str) -> bool:
        """Return whether the component that runs at this address answers within some seconds."""
        ...
