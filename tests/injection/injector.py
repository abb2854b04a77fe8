"""Counts each call that a service makes to the outside, and raises at, or kills the process at, the planned ones."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from connectors.sink_store import Fenced, Unstorable
from schemas.errors import Conflict, ConnectionFailed, StoreUnavailable, Unreachable
from tests.injection.simulation import Process, current


class Kind(StrEnum):
    """The error that comes out of a call. KILL: none, the process ends there."""

    KILL = "kill"
    UNREACHABLE = "Unreachable"
    CONFLICT = "Conflict"
    FENCED = "Fenced"
    UNSTORABLE = "Unstorable"
    CONNECTION_FAILED = "ConnectionFailed"
    STORE_UNAVAILABLE = "StoreUnavailable"
    QUEUE_FULL = "BufferError"
    TRANSPORT = "KafkaException retriable"
    FATAL = "KafkaException fatal"
    FAILED = "KafkaException"
    TIMEOUT = "TimeoutError"
    BUG = "RuntimeError"


class CallSite(NamedTuple):
    """Where a service calls the outside: the port's method, and the function that calls it."""

    service: str
    port: str
    method: str
    caller: str

    def __str__(self) -> str:
        return f"{self.service}: {self.port}.{self.method} from {self.caller}"


class Fault(NamedTuple):
    """`nth`: at which call of the site, from 1. `after`: once the call has had its effect."""

    site: CallSite
    nth: int
    after: bool
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind} {'after' if self.after else 'before'} call {self.nth} of {self.site}"


@dataclass
class Struck:
    """A fault that happened, when, and in which process."""

    fault: Fault
    at: float
    process: Process


@dataclass
class Injector:
    plan: Sequence[Fault] = ()
    calls: Counter[CallSite] = field(default_factory=Counter)
    struck: list[Struck] = field(default_factory=list)

    def call(self, port: str, method: str, invoke: Callable[[], Any]) -> Any:
        """Make a call for the running process, and let the planned fault happen before or after it."""
        simulation = current()
        simulation.check()
        fault = self.next_fault(port, method)
        if fault is not None and not fault.after:
            self.strike(fault)
        result = invoke()
        simulation.check()
        if fault is not None and fault.after:
            self.strike(fault)
        return result

    def next_fault(self, port: str, method: str) -> Fault | None:
        """Count a call; return the fault that is planned for it."""
        process = current().running.process
        if process.name == "driver":
            return None
        site = CallSite(process.name, port, method, _caller())
        self.calls[site] += 1
        nth = self.calls[site]
        return next((fault for fault in self.plan if fault.site == site and fault.nth == nth), None)

    def note(self, fault: Fault) -> None:
        self.struck.append(Struck(fault, current().now, current().running.process))

    def strike(self, fault: Fault) -> None:
        """Raise the fault's exception, or kill the running process."""
        self.note(fault)
        if fault.kind is Kind.KILL:
            current().kill(current().running.process)
            current().check()
        raise exception_of(fault.kind)


def kafka_error(kind: Kind) -> KafkaError:
    """Return the error that a delivery report or a message carries."""
    if kind is Kind.FATAL:
        return KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "injected", fatal=True)
    if kind is Kind.FAILED:
        return KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "injected")
    return KafkaError(KafkaError._MSG_TIMED_OUT if kind is Kind.TIMEOUT else KafkaError._TRANSPORT, "injected")


def exception_of(kind: Kind) -> Exception:
    if kind in (Kind.TRANSPORT, Kind.FATAL, Kind.FAILED):
        return KafkaException(kafka_error(kind))
    made: dict[Kind, Exception] = {
        Kind.UNREACHABLE: Unreachable("injected"),
        Kind.CONFLICT: Conflict("injected"),
        Kind.FENCED: Fenced("injected"),
        Kind.UNSTORABLE: Unstorable("injected"),
        Kind.CONNECTION_FAILED: ConnectionFailed("injected"),
        Kind.STORE_UNAVAILABLE: StoreUnavailable("injected"),
        Kind.QUEUE_FULL: BufferError("injected"),
        Kind.TIMEOUT: TimeoutError("injected"),
        Kind.BUG: RuntimeError("injected"),
    }
    return made[kind]


def kinds_of(site: CallSite, after: bool) -> list[Kind]:
    """Return what may in truth come out of a call: before its effect, or instead of its answer."""
    port, method = site.port, site.method
    if method == "delivery_report":
        return [Kind.TIMEOUT, Kind.FAILED, Kind.FATAL, Kind.KILL]
    if method == "commit_answer":
        return [Kind.TRANSPORT, Kind.FAILED]
    if method == "close" or (method == "subscribe" and after):
        return [Kind.BUG, Kind.KILL] if not after else [Kind.KILL]  # afterwards there is no answer to lose
    if port in ("consumer", "admin"):
        found = [Kind.TRANSPORT, Kind.FAILED, Kind.FATAL]
    elif method == "produce":
        if after:  # a record that was queued has a delivery report, and no exception
            return [Kind.KILL]
        found = [Kind.FAILED, Kind.QUEUE_FULL]
    elif port == "producer":
        found = []
    elif port == "http":
        found = [Kind.CONNECTION_FAILED, Kind.TIMEOUT]
    elif port == "objects":
        found = [Kind.CONNECTION_FAILED, Kind.STORE_UNAVAILABLE]
    elif port == "sink_store" and method in ("store", "claim") and not after:
        found = [Kind.UNREACHABLE, Kind.FENCED, *([Kind.UNSTORABLE] if method == "store" else [])]
    elif port == "registry":
        found = [Kind.UNREACHABLE, *([Kind.CONFLICT] if method == "register" else [])]
    else:
        found = [Kind.UNREACHABLE]
    return [*found, Kind.BUG, Kind.KILL]


_NOT_CALLERS = ("tests.", "streams.log.", "streams.health.", "streams.wiring", "contextlib", "concurrent", "schemas.")


def _caller() -> str:
    """Return the innermost function of the services on the stack, as module:function."""
    frame: Any = sys._getframe(3)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(("streams.", "connectors.")) and not module.startswith(_NOT_CALLERS):
            code = frame.f_code
            return (
                f"{module.removeprefix('streams.')}:{code.co_qualname if sys.version_info >= (3, 11) else code.co_name}"
            )
        frame = frame.f_back
    return "a thread of its own"
