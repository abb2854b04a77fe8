"""Every command as data: its name, where it is implemented, and its line in the overview.

A target is "module:function", or "module:app" for a command with commands of its own; it is imported when the command runs.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`summary` is also the first line of the function's docstring."""

    name: str
    target: str
    summary: str


GROUPS: dict[str, tuple[Command, ...]] = {
    "The local stack": (
        Command("up", "streams.cli.up:up", "Start Kafka, the registry, Postgres and all services on this machine."),
        Command("down", "streams.cli.down:down", "Stop what `sluice up` started; data is kept."),
        Command("status", "streams.cli.status:status", "Show what runs, where, and since when."),
        Command("env", "streams.cli.env:env", "Print the addresses as shell variables."),
        Command("doctor", "streams.cli.doctor:doctor", "Check every dependency and say what to do."),
    ),
    "Jobs": (
        Command("submit", "streams.cli.submit:submit", "Submit one job, or many, to a processor."),
        Command("upload", "streams.cli.upload:upload", "Hand in a file and print the claim check for it."),
        Command("job", "streams.cli.job:job", "Show one job: its state, its runs and its outcome."),
        Command("jobs", "streams.cli.jobs:jobs", "List jobs, newest first."),
        Command("cancel", "streams.cli.cancel:cancel", "Ask for jobs to stop."),
        Command("tail", "streams.cli.tail:tail", "Print the records of a topic, decoded."),
    ),
    "Processors": (
        Command(
            "processors",
            "streams.cli.pause:processors",
            "Show each processor: paused or not, who asked, who answered, and its open jobs.",
        ),
        Command("pause", "streams.cli.pause:pause", "Let a processor's workers start no more jobs."),
        Command("resume", "streams.cli.pause:resume", "Let a paused processor's workers go on."),
    ),
    "Services": (
        Command("worker", "streams.cli.worker:worker", "Run processors: take requests, publish results."),
        Command("sink", "streams.cli.sink:sink", "Decide and store outcomes, and tell backends."),
        Command("notify", "streams.cli.notify:notify", "Deliver callbacks in a process of their own."),
        Command("timekeeper", "streams.cli.timekeeper:timekeeper", "Do what waits for a time: retries and deadlines."),
    ),
    "See it work": (
        Command(
            "demo",
            "streams.cli.demo:demo",
            "Show the whole road: real MR volumes and a thousand light jobs, from submit to callback.",
        ),
        Command(
            "bench",
            "bench.cli:app",
            "Measure this installation: latency and throughput, from submit to callback.",
        ),
    ),
    "Writing processors": (
        Command("new", "streams.cli.new:app", "Write a new processor: its contract, its class and a test that passes."),
        Command(
            "run-once",
            "streams.cli.run_once:run_once",
            "Run a processor on one input, with no Kafka, no registry and no database.",
        ),
    ),
    "Upkeep": (
        Command("topics", "streams.cli.topics:app", "Compare topics, schemas and offsets with the broker, and apply."),
        Command("migrate", "streams.cli.migrate:migrate", "Bring the database's tables up to this version."),
    ),
}

COMMANDS: tuple[Command, ...] = tuple(verb for verbs in GROUPS.values() for verb in verbs)
