"""Every command as data: its name, where it is implemented, and its line in the overview.

A target is "module:function", or "module:app" for a command with commands of its own; it is imported when the command runs.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """`summary` is also the first line of the function's docstring."""

    name: str
    target: str
    summary: str


GROUPS: dict[str, tuple[Verb, ...]] = {
    "The local stack": (
        Verb("up", "streams.cli.up:up", "Start Kafka, the registry, Postgres and all services on this machine."),
        Verb("down", "streams.cli.down:down", "Stop what `sluice up` started; data is kept."),
        Verb("status", "streams.cli.status:status", "Show what runs, where, and since when."),
        Verb("env", "streams.cli.env:env", "Print the addresses as shell variables."),
        Verb("doctor", "streams.cli.doctor:doctor", "Check every dependency and say what to do."),
    ),
    "Jobs": (
        Verb("submit", "streams.cli.submit:submit", "Submit one job, or many, to a processor."),
        Verb("upload", "streams.cli.upload:upload", "Hand in a file and print the claim check for it."),
        Verb("job", "streams.cli.job:job", "Show one job: its state, its runs and its outcome."),
        Verb("jobs", "streams.cli.jobs:jobs", "List jobs, newest first."),
        Verb("cancel", "streams.cli.cancel:cancel", "Ask for jobs to stop."),
        Verb("tail", "streams.cli.tail:tail", "Print the records of a topic, decoded."),
    ),
    "Processors": (
        Verb(
            "processors",
            "streams.cli.pause:processors",
            "Show each processor: paused or not, who asked, who answered, and its open jobs.",
        ),
        Verb("pause", "streams.cli.pause:pause", "Let a processor's workers start no more jobs."),
        Verb("resume", "streams.cli.pause:resume", "Let a paused processor's workers go on."),
    ),
    "Services": (
        Verb("worker", "streams.cli.worker:worker", "Run processors: take requests, publish results."),
        Verb("sink", "streams.cli.sink:sink", "Decide and store outcomes, and tell backends."),
        Verb("notify", "streams.cli.notify:notify", "Deliver callbacks in a process of their own."),
        Verb("timekeeper", "streams.cli.timekeeper:timekeeper", "Do what waits for a time: retries and deadlines."),
    ),
    "See it work": (
        Verb(
            "demo",
            "streams.cli.demo:demo",
            "Show the whole road: real MR volumes and a thousand light jobs, from submit to callback.",
        ),
        Verb(
            "bench",
            "streams.cli.bench:app",
            "Measure this installation: latency and throughput, from submit to callback.",
        ),
    ),
    "Writing processors": (
        Verb("new", "streams.cli.new:app", "Write a new processor: its contract, its class and a test that passes."),
        Verb(
            "run-once",
            "streams.cli.run_once:run_once",
            "Run a processor on one input, with no Kafka, no registry and no database.",
        ),
    ),
    "Upkeep": (
        Verb("topics", "streams.cli.topics:app", "Compare topics, schemas and offsets with the broker, and apply."),
        Verb("migrate", "streams.cli.migrate:migrate", "Bring the database's tables up to this version."),
    ),
}

VERBS: tuple[Verb, ...] = tuple(verb for verbs in GROUPS.values() for verb in verbs)
