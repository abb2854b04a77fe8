"""Commands of an operation, as data. An operation is a generator: it yields a command, and the shell that runs it sends back
the result. So every decision (retry, resume, wait) is in code that does no I/O, and the shells only carry commands out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

T = TypeVar("T")


class OpenFile(Protocol):
    """A binary file that is open for reading and can seek."""

    def read(self, size: int = ..., /) -> bytes: ...

    def seek(self, offset: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of a file, as the body of a request; read while they are sent."""

    file: Path | OpenFile
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | FileSlice = b""
    #: True if sending it twice has the effect of sending it once.
    repeatable: bool = True
    #: Longest silence while the answer is read, in seconds.
    read_s: float = 30.0

    def having(self, **headers: str) -> Request:
        """Return a copy with further headers; `_` in a name stands for `-`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (by lower-case name) and body; the body is empty while it is not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Broken(Exception):
    """The connection failed. The shells throw it into the operation, which tries again or raises Unreachable.

    `sent` is False if no byte of the request has left. `reason` is the name of httpx's error.
    """

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request; returns the Answer without its body. Throws Broken."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Return the next bytes of the open answer; b"" at its end. Throws Broken."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Blocking:
    """Call a function that reads or writes files, away from an event loop; returns its result."""

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value of a stream to the caller."""

    value: Any


Command: TypeAlias = Open | Read | Sleep | Blocking | Emit
#: An operation that ends with a result.
Operation: TypeAlias = Generator[Command, Any, T]
#: An operation that emits values until it ends.
Stream: TypeAlias = Generator[Command, Any, None]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The result of an operation that has ended."""

    value: T


def advance(operation: Operation[T], outcome: Any = None) -> Command | Done[T]:
    """Give an operation the outcome of its last command (a Broken is thrown into it), and return the next command."""
    try:
        return operation.throw(outcome) if isinstance(outcome, Broken) else operation.send(outcome)
    except StopIteration as end:
        return Done(end.value)
