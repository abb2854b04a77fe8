"""Every command as data: its name, where it is implemented, and its line in the overview.

A target is "module:function", or "module:app" for a command with commands of its own; it is imported when the command runs.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command. `summary` is also the first line of the docstring of the function at `target`."""

    name: str
    target: str
    summary: str


GROUPS: dict[str, tuple[Command, ...]] = {
    "The local stack": (
        Command("up", "streams.cli.up:up", "Start Kafka, the registry, Postgres and all services on this machine."),
        Command("down", "streams.cli.down:down", "Stop everything that `sluice up` started; data is kept."),
        Command("status", "streams.cli.status:status", "Show what runs, whether it is healthy, and the consumer lag."),
        Command(
            "env",
            "streams.cli.env:env",
            "Print the addresses of Kafka, registry, Postgres and gateway as shell variables.",
        ),
        Command("doctor", "streams.cli.doctor:doctor", "Check every dependency and say how to fix what is wrong."),
    ),
    "Jobs": (
        Command("submit", "streams.cli.submit:submit", "Submit one job, or many, to a processor."),
        Command(
            "upload", "streams.cli.upload:upload", "Store a file and print its claim check, to use as a job's input."
        ),
        Command("job", "streams.cli.job:job", "Show one job: its state, outcome, callbacks and history."),
        Command(
            "explain",
            "streams.cli.explain:explain",
            "Say why a job is not done yet, or how it ended, and what happens next.",
        ),
        Command(
            "result", "streams.cli.result:result", "Write a job's result: its output as output.json, and its files."
        ),
        Command(
            "verify",
            "streams.cli.verify:verify",
            "Compare a job's outcome with its receipt: input, record, files, weights.",
        ),
        Command("jobs", "streams.cli.jobs:jobs", "List jobs, newest first."),
        Command(
            "cancel", "streams.cli.cancel:cancel", "Cancel jobs: waiting jobs end at once, running jobs are stopped."
        ),
        Command(
            "replay", "streams.cli.replay:app", "Run jobs again: select them, count them, replay them, watch them."
        ),
        Command(
            "deliveries",
            "streams.cli.deliveries:app",
            "List callbacks, send them again, and see how their destinations do.",
        ),
        Command("dlq", "streams.cli.dlq:app", "Find dead letters, see why they failed, redrive or drop them."),
        Command(
            "top", "streams.cli.top:top", "Show processors, workers, services and callbacks, live; q or Ctrl-C ends."
        ),
        Command("tail", "streams.cli.tail:tail", "Print the decoded records of a topic."),
        Command("lag", "streams.cli.lag:lag", "Show how far each consumer group is behind, in records and in seconds."),
    ),
    "Processors": (
        Command(
            "processors",
            "streams.cli.pause:processors",
            "List processors: running or paused, and how many jobs are open.",
        ),
        Command("pause", "streams.cli.pause:pause", "Pause a processor: running jobs finish, no new ones start."),
        Command("resume", "streams.cli.pause:resume", "Resume a paused processor."),
    ),
    "Services": (
        Command("worker", "streams.cli.worker:worker", "Run processors: consume requests, publish results."),
        Command("mri-lab", "streams.cli.mri_lab:mri_lab", "Run a lab machine of mri-lab by its old settings."),
        Command("sink", "streams.cli.sink:sink", "Store each job's outcome and send its callback."),
        Command("gateway", "gateway.cli:gateway", "Serve HTTP for backends and lab machines."),
        Command("notify", "streams.cli.notify:notify", "Send callbacks from a process of its own."),
        Command(
            "timekeeper",
            "streams.cli.timekeeper:timekeeper",
            "Run scheduled work: retries, deadlines, delayed jobs.",
        ),
        Command(
            "router",
            "streams.cli.router:router",
            "Turn uploads into jobs by rules, and join a case's outcomes into the next job.",
        ),
    ),
    "See it work": (
        Command(
            "demo", "bench.demo.cli:demo", "Run a demonstration: MR volumes and light jobs, from submit to callback."
        ),
        Command("bench", "bench.cli:app", "Measure latency and throughput of this installation."),
        Command(
            "plan", "streams.cli.plan:plan", "Say what a load needs: devices, services, disk, and how long jobs wait."
        ),
    ),
    "Writing processors": (
        Command("new", "streams.cli.new:app", "Create a new processor: contract, class and a test that passes."),
        Command(
            "repro",
            "streams.cli.repro:repro",
            "Run a stored job again in this process, exactly as it was, and compare.",
        ),
        Command(
            "run-once", "streams.cli.run_once:run_once", "Run a processor on one input, without Kafka or a database."
        ),
    ),
    "Upkeep": (
        Command(
            "audit", "streams.cli.audit:audit", "Account for every accepted job: its state, its outcome, its callback."
        ),
        Command(
            "topics", "streams.cli.topics:app", "Create, update and list topics, schemas and consumer group offsets."
        ),
        Command("tokens", "streams.cli.tokens:app", "Create, list and revoke tokens of the HTTP gateway."),
        Command("tenants", "streams.cli.tenants:app", "Set and list the quotas of tenants at the HTTP gateway."),
        Command("objects", "streams.cli.objects:app", "Delete stored files that nothing refers to."),
        Command("erase", "streams.cli.erase:erase", "Delete a case's contents: inputs, results, files, names."),
        Command("migrate", "streams.cli.migrate:migrate", "Bring the database tables up to this version."),
    ),
}

COMMANDS: tuple[Command, ...] = tuple(command for commands in GROUPS.values() for command in commands)
