"""The command line on a real stack: topics, submitting, waiting and reading."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.contract import contract
from schemas.errors import ExitCode, NotFound, Unreachable
from schemas.records import ECHO, EchoInput
from schemas.states import State
from streams import wiring
from streams.admin import tail, topics
from streams.admin.changes import ChangeKind
from streams.admin.group_offsets import worker_groups
from streams.client.outcomes import OutcomeWaiter
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from tests.harness.command_line import CommandLine
from tests.harness.services import running

pytestmark = pytest.mark.stack


def at(settings: Settings, **addresses: str) -> Settings:
    """Return the same installation with another address, without the addresses that were looked up already."""
    changed = settings.model_copy(update=addresses)
    for looked_up in ("bootstrap", "registry_url", "database"):
        changed.__dict__.pop(looked_up, None)
    return changed


@pytest.fixture
def sluice(settings: Settings) -> CommandLine:
    return CommandLine(settings)


@pytest.fixture
def services(settings: Settings) -> Iterator[None]:
    with running(settings, ["sink"], ["worker", "echo"]):
        yield


# ── topics ──


def test_applying_twice_changes_nothing(settings: Settings) -> None:
    contracts = wiring.contracts(settings)
    assert topics.plan(settings, contracts) == []
    assert topics.apply(settings, contracts) == []


def test_the_plan_for_a_new_prefix_is_applied_as_it_was_shown(settings: Settings) -> None:
    other = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}second."})
    planned = topics.plan(other, [ECHO])
    reported: list[Any] = []
    applied = topics.apply(other, [ECHO], reported.append)
    assert sorted(map(repr, applied)) == sorted(map(repr, planned))
    assert reported == applied
    assert {change.kind for change in applied} == {
        ChangeKind.CREATE_TOPIC,
        ChangeKind.REGISTER_SCHEMA,
        ChangeKind.SEED_OFFSETS,
    }


def test_more_partitions_are_added_and_given_their_first_offsets(settings: Settings) -> None:
    wider = settings.model_copy(update={"partitions": 3})
    applied = topics.apply(wider, [ECHO])
    added = {change.target for change in applied if change.kind is ChangeKind.ADD_PARTITIONS}
    assert settings.topics.requests("echo") in added
    assert settings.topics.requests("echo", "bulk") in added
    (group,) = worker_groups(settings, [ECHO])
    assert [(c.target, c.detail) for c in applied if c.kind is ChangeKind.SEED_OFFSETS] == [
        (group.name, "2 partitions, at their beginning")
    ]
    assert topics.plan(wider, [ECHO]) == []


def test_partitions_beyond_the_declared_are_reported_and_kept(settings: Settings) -> None:
    narrower = settings.model_copy(update={"partitions": 1})
    changes = topics.apply(narrower, [ECHO])
    assert {change.kind for change in changes} == {ChangeKind.WARNING}
    assert topics.plan(settings, [ECHO]) == []


def test_the_exit_status_of_a_plan_says_that_something_would_change(sluice: CommandLine, settings: Settings) -> None:
    assert sluice("topics", "plan").returncode == ExitCode.OK
    more = CommandLine(settings.model_copy(update={"partitions": 4}))
    done = more("topics", "plan", "--json")
    assert done.returncode == ExitCode.PARTIAL
    assert {change["kind"] for change in json.loads(done.stdout)} == {"add-partitions", "seed-offsets"}


# ── submitting and waiting ──


def test_a_submitted_job_is_at_the_offset_that_submit_returned(settings: Settings) -> None:
    with Submitter(settings) as submitter:
        job = submitter.submit("echo", EchoInput("hi"), case_id="case-1")
    (record,) = [
        r for r in tail.last(settings, job.topic, 10) if (r.partition, r.offset) == (job.partition, job.offset)
    ]
    assert record.value["header"]["job_id"] == record.headers["sluice-job"] == record.key == job.job_id
    assert record.value["header"]["case_id"] == "case-1"


def test_jobs_of_one_order_key_share_a_partition_and_keep_their_order(settings: Settings) -> None:
    with Submitter(settings) as submitter:
        job_ids = [submitter.submit_nowait("echo", EchoInput(str(n)), order_key="patient-7") for n in range(50)]
    records = tail.last(settings, settings.topics.requests("echo"), 50)
    assert {record.partition for record in records} == {records[0].partition}
    assert [record.value["header"]["job_id"] for record in records] == job_ids


def test_nothing_is_accepted_while_the_broker_is_unreachable(settings: Settings) -> None:
    away = at(settings, kafka_bootstrap_servers="127.0.0.1:1")
    with Submitter(away, timeout_s=1.0) as submitter:
        with pytest.raises(Unreachable):
            submitter.submit("echo", EchoInput("hi"))
        submitter.submit_nowait("echo", EchoInput("hi"))
        with pytest.raises(Unreachable, match="1 job"):
            submitter.flush()


@pytest.mark.usefixtures("services")
def test_waiting_returns_each_outcome_once_and_typed(settings: Settings) -> None:
    with OutcomeWaiter(settings, contract("echo")) as waiter, Submitter(settings) as submitter:
        good = [submitter.submit_nowait("echo", EchoInput(f"good {n}")) for n in range(20)]
        bad = submitter.submit_nowait("echo", EchoInput("bad", fail="INVALID_INPUT"))
        submitter.flush()
        seen = list(waiter.wait([*good, bad], timeout_s=40))
    assert sorted(outcome.job_id for outcome in seen) == sorted([*good, bad])
    states = {outcome.job_id: outcome.state for outcome in seen}
    assert {states[job_id] for job_id in good} == {State.COMPLETED}
    assert states[bad] is State.FAILED
    assert {type(outcome.result.output).__name__ for outcome in seen} == {"EchoOutput", "NoneType"}


def test_waiting_ends_after_the_timeout(settings: Settings) -> None:
    with OutcomeWaiter(settings, contract("echo")) as waiter:
        assert list(waiter.wait(["00000000-0000-7000-8000-000000000000"], timeout_s=0.2)) == []


@pytest.mark.usefixtures("services")
def test_submit_and_wait_shows_the_outcome_in_its_exit_status(sluice: CommandLine) -> None:
    done = sluice("submit", "echo", "--input", '{"message": "hi"}', "--wait", "--json", "--timeout", "40")
    assert done.returncode == ExitCode.OK, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["state"], outcome["output"]) == ("COMPLETED", {"message": "hi", "length": 2})

    failing = '{"message": "hi", "fail": "INVALID_INPUT"}'
    assert sluice("submit", "echo", "--input", failing, "--wait", "--timeout", "40").returncode == ExitCode.JOB_FAILED
    both = f'{{"message": "hi"}}\n{failing}\n'
    mixed = sluice("submit", "echo", "--input", "-", "--wait", "--json", "--timeout", "40", stdin=both)
    assert mixed.returncode == ExitCode.PARTIAL
    assert sorted(json.loads(line)["state"] for line in mixed.stdout.splitlines()) == ["COMPLETED", "FAILED"]

    job = sluice.json("job", outcome["job_id"])
    assert (job["state"], job["output"]) == ("COMPLETED", outcome["output"])
    assert sorted(line["kind"] for line in job["history"]) == ["request", "result"]
    assert {row["state"] for row in sluice.json("jobs")} == {"COMPLETED", "FAILED"}
    assert [row["error_code"] for row in sluice.json("jobs", "--state", "FAILED")] == ["INVALID_INPUT"] * 2
    assert sluice.json("jobs", "--counts") == {"COMPLETED": 2, "FAILED": 2}


@pytest.mark.usefixtures("services")
def test_the_same_key_twice_is_one_job_and_both_get_its_outcome(sluice: CommandLine) -> None:
    asked = ("submit", "echo", "--input", '{"message": "hi"}', "--idempotency-key", "k", "--wait", "--timeout", "40")
    first, second = sluice(*asked), sluice(*asked)
    assert (first.returncode, second.returncode) == (ExitCode.OK, ExitCode.OK)
    assert "submitted before with the same idempotency key" in second.stderr
    assert len(sluice.json("jobs")) == 1


def test_a_job_that_no_worker_runs_times_out_with_its_own_status(sluice: CommandLine) -> None:
    done = sluice("submit", "echo", "--input", '{"message": "hi"}', "--wait", "--timeout", "0.5")
    assert done.returncode == ExitCode.WAIT_TIMED_OUT
    assert "`sluice job " in done.stderr


def test_wrong_input_is_refused_before_there_is_a_job(sluice: CommandLine, settings: Settings) -> None:
    assert sluice("submit", "ecko", "--input", "{}").returncode == ExitCode.USAGE
    assert sluice("submit", "echo", "--input", '{"mesage": "hi"}').returncode == ExitCode.USAGE
    assert (
        sluice("submit", "echo", "--input", '{"message": "hi"}', "--callback-url", "nowhere").returncode
        == ExitCode.USAGE
    )
    assert tail.last(settings, settings.topics.requests("echo"), 10) == []


def test_an_unknown_job_is_not_found(sluice: CommandLine) -> None:
    assert sluice("job", "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10").returncode == ExitCode.NOT_FOUND


# ── uploads and looking at topics ──


def test_an_upload_is_kept_and_announced(sluice: CommandLine, settings: Settings, tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"voxels")
    event = sluice.json("upload", str(scan), "--kind", "mr-volume", "--case-id", "4711", "--label", "role=LIS")
    (record,) = tail.last(settings, settings.topics.uploads, 10)
    assert record.value["claim"] == event["claim"]
    assert (record.value["kind"], record.value["case_id"]) == ("mr-volume", "4711")
    assert record.value["labels"] == event["labels"] == {"role": "LIS"}
    assert event["claim"]["size"] == 6


def test_the_last_records_are_those_that_were_written_last(settings: Settings) -> None:
    with Submitter(settings) as submitter:
        job_ids = [submitter.submit("echo", EchoInput(str(n))).job_id for n in range(12)]
    topic = settings.topics.requests("echo")
    newest = tail.last(settings, topic, 5)
    older = tail.last(settings, topic, 12)[:7]
    assert len(newest) == 5
    assert max(str(record.at) for record in older) <= min(str(record.at) for record in newest)
    assert {record.key for record in older + newest} == set(job_ids)
    assert tail.last(settings, topic, 0) == []
    with tail.TopicReader(settings, topic) as reader:
        assert sorted(str(record.key) for record in reader.everything()) == sorted(job_ids)


def test_following_misses_nothing_between_the_last_records_and_the_next(settings: Settings) -> None:
    stop = threading.Event()
    give_up = threading.Timer(30, stop.set)
    give_up.start()
    with Submitter(settings) as submitter, tail.TopicReader(settings, settings.topics.requests("echo")) as reader:
        between = [submitter.submit("echo", EchoInput(str(n))).job_id for n in range(6)]
        assert reader.last(10) == []
        seen = []
        for record in reader.follow(stop):
            seen.append(record.key)
            if len(seen) == len(between):
                stop.set()
    give_up.cancel()
    assert sorted(map(str, seen)) == sorted(between)


def test_a_record_that_does_not_decode_is_shown_with_the_reason(settings: Settings) -> None:
    producer = kafka.producer(settings)
    producer.produce(settings.topics.requests("echo"), b"not avro", b"key")
    producer.flush(10)
    (record,) = tail.last(settings, settings.topics.requests("echo"), 10)
    assert record.value == b"not avro"
    assert "Confluent frame" in str(record.undecodable)


def test_a_missing_topic_is_not_found(settings: Settings) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        tail.last(settings, "nowhere", 1)


def test_tail_prints_one_object_a_line(sluice: CommandLine, settings: Settings) -> None:
    with Submitter(settings) as submitter:
        job_ids = [submitter.submit("echo", EchoInput("hi")).job_id for _ in range(3)]
    records = [json.loads(line) for line in sluice("tail", "echo", "--requests", "--json").stdout.splitlines()]
    # Kafka keeps no order between partitions: two records of one millisecond may stand either way round.
    assert sorted(record["value"]["header"]["job_id"] for record in records) == sorted(job_ids)
    assert [record["at"] for record in records] == sorted(record["at"] for record in records)


# ── upkeep ──


def test_the_doctor_finds_no_problem_in_a_fresh_installation(sluice: CommandLine) -> None:
    checks = sluice.json("doctor")
    assert [check for check in checks if check["severity"] in ("problem", "unreachable")] == []
    assert {"kafka", "schema registry", "topics", "postgres", "object store", "disk"} <= {c["name"] for c in checks}


def test_the_doctor_names_the_unreachable_component(settings: Settings) -> None:
    away = CommandLine(at(settings, schema_registry_url="http://127.0.0.1:1"))
    done = away("doctor", "--json")
    assert done.returncode == ExitCode.UNREACHABLE
    found = {check["name"]: check["severity"] for check in json.loads(done.stdout)}
    assert (found["schema registry"], found["kafka"], found["postgres"]) == ("unreachable", "ok", "ok")


def test_migrating_twice_does_nothing_the_second_time(sluice: CommandLine) -> None:
    sluice("migrate")
    assert sluice.json("migrate") == {"applied": []}
    assert sluice("migrate", "--check").returncode == ExitCode.OK


def test_the_addresses_are_printed_for_a_shell(sluice: CommandLine, settings: Settings) -> None:
    lines = sluice("env").stdout.splitlines()
    assert f"export KAFKA_BOOTSTRAP_SERVERS={settings.bootstrap}" in lines
    assert sluice.json("env")["DATABASE_URL"] == settings.database
