"""The client's side of a measurement: submits jobs when it is asked to, and says when it did so.

A client is a process of its own, of sluice or of a peer, that runs `serve` with its own submitter. Commands and answers are
lines of JSON on standard input and output. Only the standard library is imported, since peers run in another environment.

| command | does | answer |
|---|---|---|
| `burst` | submits `count` jobs as fast as they are accepted | `started`, `submitted`: seconds of the monotonic clock |
| `one` | submits the job `number` | `at`: when it began to |
| `paced` | submits `count` jobs, `rate` a second, whatever becomes of them | `intended`: when each was to be submitted |
| `rows` | counts the rows of `batch` | `rows` |
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

#: Of 600 bytes. Jobs of `one` and `paced` have their number at the end of the URL, by which the receiver tells them apart.
MESSAGE = "x" * 600

#: A job: `id` (BATCH-NUMBER), `message` and `url`.
Job = dict[str, Any]


class JobSubmitter(Protocol):
    """Submits jobs to one system."""

    def submit(self, job: Job) -> None:
        """Submit one job. May return before it is accepted."""
        ...

    def submit_many(self, jobs: Sequence[Job]) -> None:
        """Submit jobs as fast as the system takes them; returns once all are accepted."""
        ...

    def rows(self, batch: str) -> int:
        """Return how many jobs of the batch are stored as completed."""
        ...


def serve(submitter: JobSubmitter, commands: TextIO = sys.stdin, answers: TextIO = sys.stdout) -> None:
    """Obey commands until standard input ends."""
    for line in commands:
        command = json.loads(line)
        answers.write(json.dumps(_DO[command["do"]](submitter, command)) + "\n")
        answers.flush()


def _burst(submitter: JobSubmitter, command: Mapping[str, Any]) -> dict[str, float]:
    jobs = [_job(command, number, command["url"]) for number in range(command["count"])]
    started = time.monotonic()
    submitter.submit_many(jobs)
    return {"started": started, "submitted": time.monotonic()}


def _one(submitter: JobSubmitter, command: Mapping[str, Any]) -> dict[str, float]:
    job = _job(command, command["number"], f"{command['url']}{command['number']}")
    at = time.monotonic()
    submitter.submit(job)
    return {"at": at}


def _paced(submitter: JobSubmitter, command: Mapping[str, Any]) -> dict[str, list[float]]:
    """A submit that takes long makes the next ones late; each one's clock runs from its intended time all the same."""
    jobs = [_job(command, number, f"{command['url']}{number}") for number in range(command["count"])]
    begin = time.monotonic() + 0.01
    intended = [begin + number / command["rate"] for number in range(len(jobs))]
    for job, at in zip(jobs, intended, strict=True):
        time.sleep(max(0.0, at - time.monotonic()))
        submitter.submit(job)
    return {"intended": intended}


def _rows(submitter: JobSubmitter, command: Mapping[str, Any]) -> dict[str, int]:
    return {"rows": submitter.rows(command["batch"])}


def _job(command: Mapping[str, Any], number: int, url: str) -> Job:
    return {"id": f"{command['batch']}-{number}", "message": MESSAGE, "url": url}


_DO = {"burst": _burst, "one": _one, "paced": _paced, "rows": _rows}
