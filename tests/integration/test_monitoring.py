"""Monitoring on a real Kafka: what librdkafka and the broker do, beside the twins that the unit tests run on."""

from __future__ import annotations

import json

from schemas.errors import ExitCode
from schemas.records import EchoInput
from streams.admin.lag import lags
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.wiring import contracts
from tests.harness.command_line import CommandLine


def test_lag_and_records_are_read_from_a_real_log(settings: Settings) -> None:
    sluice = CommandLine(settings)
    with Submitter(settings) as submitter:
        jobs = [submitter.submit("echo", EchoInput(str(n))).job_id for n in range(30)]
    found = {(each.group, each.topic): each for each in lags(settings, contracts(settings))}
    prefix, topic = settings.topic_prefix, settings.topics.requests("echo")
    workers, sink = found[f"{prefix}workers.echo", topic], found[f"{prefix}sink", topic]
    assert (workers.records, workers.no_commit, sum(each.records or 0 for each in workers.partitions)) == (30, 0, 30)
    assert workers.seconds is not None
    assert 0 <= workers.seconds < 600
    assert (sink.records, sink.source, sink.no_commit) == (None, "postgres", 2)

    done = sluice("tail", "echo", "--requests", "--job", jobs[7], "--from", "-15m", "--jsonl")
    assert done.returncode == ExitCode.OK, done.stderr
    assert [json.loads(line)["headers"]["sluice-job"] for line in done.stdout.splitlines()] == [jobs[7]]
    assert done.stderr.startswith("complete: 1 of 30 records")
    shown = sluice.json("topics", "show", "echo", "--requests")
    assert (shown["topic"]["records"], len(shown["partitions"])) == (30, 2)
    assert f"{prefix}workers.echo" in shown["topic"]["readers"]
