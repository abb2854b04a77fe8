"""Runs operations of the client without any I/O: a function plays the gateway, and time passes only when an operation waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sluice_client.context import Context, Limits, Retry
from sluice_client.wire import (
    Answer,
    Blocking,
    Broken,
    Command,
    Done,
    Emit,
    Open,
    Operation,
    Read,
    Request,
    Sleep,
    advance,
)

T = TypeVar("T")

#: An answer's chunks; a Broken among them breaks the connection there.
Chunk = bytes | Broken


@dataclass(frozen=True)
class Reply:
    status: int = 200
    chunks: Iterable[Chunk] = ()
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(body: object, status: int = 200, **headers: str) -> Reply:
    return Reply(
        status, [json.dumps(body).encode()], {name.replace("_", "-"): value for name, value in headers.items()}
    )


def problem(status: int, code: str, **headers: str) -> Reply:
    body = {"status": status, "code": code, "title": code, "detail": f"It is {code}.", "next_step": "Do this."}
    return json_reply(body, status, **headers)


def cut(sent: bool = True) -> Broken:
    return Broken("ReadError" if sent else "ConnectError", sent)


def job_json(state: str = "PENDING", job_id: str = "j1", **more: Any) -> dict[str, Any]:
    return {"job_id": job_id, "processor": "echo", "state": state, "run": 0, **more}


class Shell:
    """Plays the gateway by `server`, and carries out commands. `requests`, `sleeps` and `emitted` are what happened."""

    def __init__(
        self, server: Callable[[Request], Reply | Broken], *, retry: Retry | None = None, limits: Limits | None = None
    ) -> None:
        self._server = server
        self._chunks: list[Chunk] = []
        self.now = 1000.0
        self.requests: list[Request] = []
        self.sleeps: list[float] = []
        self.emitted: list[Any] = []
        self.context = Context(
            "https://gateway.example",
            "slt_secret",
            limits or Limits(),
            retry or Retry(),
            clock=lambda: self.now,
            share=lambda: 1.0,
        )

    @classmethod
    def replying(cls, *replies: Reply | Broken, **options: Any) -> Shell:
        left = list(replies)
        return cls(lambda request: left.pop(0), **options)

    def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end."""
        command = advance(operation)
        while not isinstance(command, Done):
            if isinstance(command, Emit):
                self.emitted.append(command.value)
                command = advance(operation)
            else:
                command = advance(operation, self.perform(command))
        return command.value

    def perform(self, command: Command) -> Any:
        if isinstance(command, Sleep):
            self.sleeps.append(command.seconds)
            self.now += command.seconds
            return None
        if isinstance(command, Blocking):
            return command.call()
        if isinstance(command, Read):
            return self._chunks.pop(0) if self._chunks else b""
        assert isinstance(command, Open)
        self.requests.append(command.request)
        reply = self._server(command.request)
        if isinstance(reply, Broken):
            return reply
        self._chunks = [chunk for chunk in reply.chunks if chunk]
        return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()})
