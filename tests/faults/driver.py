"""Submits jobs through every door, and writes into a journal what it invoked and what was answered.

An error is no refusal: the job may have been accepted all the same, so its journal entry says "info" and the checker looks
for it in the log.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

import psycopg
from confluent_kafka import KafkaException

from schemas.errors import SluiceError
from streams.client.commands import CommandClient
from streams.settings import Settings
from tests.faults.assignments import Assignment, Assignments

_FAILURES = (SluiceError, KafkaException, psycopg.Error, OSError)


class Journal:
    """Lines of JSON in a file. Safe to share between threads; closed last."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write(self, entry: object) -> None:
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        with self._lock:
            self._file.close()


class Door(Protocol):
    """A way by which jobs are accepted. Used by one thread."""

    name: str
    kinds: tuple[str, ...]
    twice: float
    #: True if it goes on by itself after an error; else it is opened again.
    lasting: bool

    def submit(self, jobs: Sequence[Assignment]) -> list[str | None]:
        """Submit all and return their ids; None for a job whose acceptance is unknown."""
        ...

    def close(self) -> None: ...


class Driver:
    """Keeps every door busy on a thread of its own, at a fixed rate, from `start` until `stop`.

    `rates`: jobs a second of each door. `callback`: the URL for a token.
    """

    def __init__(
        self,
        seed: int,
        settings: Settings,
        journal: Journal,
        callback: Callable[[str], str],
        doors: Sequence[tuple[Callable[[], Door], float]],
    ) -> None:
        self._seed = seed
        self._settings = settings
        self._journal = journal
        self._callback = callback
        self._stopping = threading.Event()
        self._all_answered = threading.Event()
        self._to_cancel: deque[str] = deque()
        self._doors = [
            threading.Thread(target=self._keep_busy, args=(number, door, rate), name=f"door-{number}")
            for number, (door, rate) in enumerate(doors)
        ]
        self._canceller = threading.Thread(target=self._cancel, name="canceller")

    def start(self) -> None:
        for thread in (*self._doors, self._canceller):
            thread.start()

    def stop(self) -> None:
        """End once each door has its last answer and every cancel was accepted."""
        self._stopping.set()
        for thread in self._doors:
            thread.join()
        # A job of the last answer may have to be cancelled too, so the canceller ends after the doors.
        self._all_answered.set()
        self._canceller.join()

    def _keep_busy(self, number: int, open_door: Callable[[], Door], rate: float) -> None:
        door: Door | None = open_door()
        assert door is not None
        pause = max(0.1, 1 / rate)
        jobs = Assignments(self._seed, f"{door.name}{number}", door.kinds, door.twice)
        while not self._stopping.wait(pause):
            if door is None:
                with suppress(*_FAILURES):
                    door = open_door()
            elif not self._submit(door, [jobs.next() for _ in range(max(1, round(rate * pause)))]) and not door.lasting:
                door.close()
                door = None
        if door is not None:
            door.close()

    def _submit(self, door: Door, batch: Sequence[Assignment]) -> bool:
        for n, job in enumerate(batch):
            if n % 5:
                job.options["callback_url"] = self._callback(job.token)
            self._journal.write(_invoked(job, door.name))
        try:
            ids = door.submit(batch)
        except _FAILURES as error:
            ids, failed = [None] * len(batch), type(error).__name__
        else:
            failed = ""
        for job, job_id in zip(batch, ids, strict=True):
            kind = "info" if job_id is None else "ok"
            self._journal.write(
                {"type": kind, "token": job.token, "job_id": job_id, "at": time.time(), "error": failed}
            )
            if job.cancel and job_id is not None:
                self._to_cancel.append(job_id)
        return not failed

    def _cancel(self) -> None:
        """Cancel what is to be cancelled, each until the broker has confirmed it."""
        with ExitStack() as stack:
            client: CommandClient | None = None
            while not (self._all_answered.wait(0.5) and not self._to_cancel):
                pending = [self._to_cancel.popleft() for _ in range(len(self._to_cancel))]
                if not pending:
                    continue
                try:
                    client = client or stack.enter_context(CommandClient(self._settings, by="driver"))
                    client.cancel_many((job_id, 0) for job_id in pending)
                except SluiceError:
                    self._to_cancel.extend(pending)
                    client = None


def _invoked(job: Assignment, door: str) -> dict[str, object]:
    return {
        "type": "invoke",
        "token": job.token,
        "at": time.time(),
        "kind": job.kind,
        "door": door,
        "states": job.states,
        "message": job.answer,
        "error": job.error,
        "callback": "callback_url" in job.options,
        "order_key": job.options.get("order_key"),
        "copies": job.copies,
    }
