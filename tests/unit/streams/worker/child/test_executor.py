"""Executors run jobs in the child, with and without CPU threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext
from schemas.avsc import request_schema
from schemas.codec import Codec
from schemas.envelope import input_hash
from schemas.headers import ATTEMPT, JOB, RUN
from schemas.ids import new_id
from schemas.records import ECHO, EchoInput, EchoOutput, JobHeader
from streams.worker.child import job_runner
from streams.worker.protocol import Flag, MessageKind, pack_slots
from tests.harness.executor_kit import Kit, Upper, named


@pytest.fixture(params=[0, 2], ids=["in the device's thread", "with CPU threads"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Kit:
    return Kit(Upper(Policy(batch=Batch(4), threads=request.param)), tmp_path)


def test_good_jobs_succeed_although_others_fail_in_every_step(kit: Kit) -> None:
    said = ["a", "bad in prepare", "b", "bad in run", "c", "bad in finish", "d"]
    kit.send(*[kit.request(message) for message in said])
    kit.work()
    codes = [kit.code(slot) for slot in range(len(said))]
    assert codes == [None if len(message) == 1 else "PROCESSOR_ERROR" for message in said]
    assert [kit.result(slot)["output"]["message"] for slot in (0, 2, 4, 6)] == ["A", "B", "C", "D"]


def test_each_of_several_bad_jobs_in_a_batch_fails_and_is_logged_with_its_own_traceback(tmp_path: Path) -> None:
    class Picky(Upper):
        def run(self, items: Sequence[str]) -> Sequence[str]:
            self.batches.append(list(items))
            if "bad a" in items:
                self.refuse_a()
            if "bad b" in items:
                self.refuse_b()
            return items

        def refuse_a(self) -> None:
            raise ValueError("a")

        def refuse_b(self) -> None:
            raise KeyError("b")

    kit = Kit(Picky(Policy(batch=Batch(32))), tmp_path)
    said = [{3: "bad a", 20: "bad b"}.get(n, str(n)) for n in range(32)]
    kit.send(*[kit.request(message) for message in said])
    with structlog.testing.capture_logs() as lines:
        kit.work()
    errors = {slot: kit.result(slot)["result"]["error"] for slot in range(32)}
    assert {slot for slot, error in errors.items() if error} == {3, 20}
    assert [errors[slot]["type"] for slot in (3, 20)] == ["ValueError", "KeyError"]
    assert errors[3]["fingerprint"] != errors[20]["fingerprint"]
    assert max(Counter(kit.processor.ran).values()) == 6, "five further executions at most"
    logged = {line["job_id"]: line["trace"][-1].split()[-1] for line in lines if line["event"] == "processor_bug"}
    assert [logged[kit.result(slot)["header"]["job_id"]] for slot in (3, 20)] == ["refuse_a", "refuse_b"]


def test_jobs_that_wait_together_run_together(tmp_path: Path) -> None:
    kit = Kit(Upper(Policy(batch=Batch(4))), tmp_path)
    kit.send(*[kit.request(str(n)) for n in range(6)])
    kit.work()
    assert kit.processor.batches == [["0", "1", "2", "3"], ["4", "5"]]
    assert kit.channel.begun == [([0, 1, 2, 3], None), ([4, 5], None)]


def test_an_isolated_job_runs_alone(kit: Kit) -> None:
    kit.send(*[kit.request(f"s{n}") for n in range(3)], flags=Flag.ISOLATED)
    kit.send(*[kit.request(str(n)) for n in range(3)])
    kit.work()
    alone = [batch for batch in kit.processor.batches if batch[0].startswith("s")]
    assert alone == [["s0"], ["s1"], ["s2"]]


def test_each_job_is_reported_as_started_before_it_is_answered(kit: Kit) -> None:
    kit.send(*[kit.request(str(n)) for n in range(9)])
    kit.work()
    assert {slot for slots, _ in kit.channel.begun for slot in slots} == set(range(9))


def test_the_hard_limit_of_a_job_goes_before_that_of_its_processor(tmp_path: Path) -> None:
    kit = Kit(Upper(Policy(batch=Batch(4), limits=Limits(hard_ms=9000))), tmp_path)
    kit.send(kit.request("a"), kit.request("b", hard_limit_ms=50))
    kit.work()
    assert kit.channel.begun == [([0, 1], 9000), ([1], 50)]


def test_a_rejected_job_is_answered_and_does_not_run(kit: Kit) -> None:
    kit.send(kit.request("a"), flags=Flag.REJECTED, error_code=b"TIMEOUT_ERROR")
    kit.send(kit.request("b"), flags=Flag.REJECTED, error_code=b"WORKER_LOST")
    kit.work()
    assert (kit.code(0), kit.result(0)["result"]["disposition"]) == ("TIMEOUT_ERROR", "retry")
    assert (kit.code(1), kit.result(1)["result"]["disposition"]) == ("WORKER_LOST", "failed")
    assert kit.channel.answered[0].dead_reason == ""
    assert kit.channel.answered[1].dead_reason == "WORKER_LOST"
    assert kit.processor.batches == []


class Witness(Upper):
    """A device that works until other jobs are answered, and records whether they were."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.answered_first: list[bool] = []
        self.kit: Kit | None = None

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        if job.input.message == "too late":  # its deadline passes while it is prepared
            assert job.header.deadline is not None
            time.sleep(max(0.0, (job.header.deadline - datetime.now(UTC)).total_seconds()))
        return super().prepare(job, ctx)

    def run(self, items: Sequence[str]) -> Sequence[str]:
        assert self.kit is not None
        # With threads the device does not wait for what is being prepared.
        self.answered_first.append(self.kit.channel.wait_for(3 if self.policy.threads else 4, 5))
        return super().run(items)


class SortedWitness(Witness):
    def cost(self, item: str) -> float:
        return 1.0


@pytest.mark.parametrize(("kind", "threads"), [(Witness, 0), (SortedWitness, 0), (Witness, 2)])
def test_jobs_that_do_not_run_are_answered_before_their_neighbours_run(
    kind: type[Witness], threads: int, tmp_path: Path
) -> None:
    processor = kind(Policy(batch=Batch(8), threads=threads))
    kit = processor.kit = Kit(processor, tmp_path)
    kit.send(kit.request("bad in prepare"), kit.request("a", deadline=datetime.now(UTC) - timedelta(seconds=1)))
    kit.send(kit.request("too late", deadline=datetime.now(UTC) + timedelta(milliseconds=150)))
    kit.send(kit.request("v"), flags=Flag.REJECTED, error_code=b"DEADLINE_EXCEEDED")
    kit.send(kit.request("b"))
    kit.work()
    assert [kit.code(slot) for slot in range(5)] == ["PROCESSOR_ERROR", *["DEADLINE_EXCEEDED"] * 3, None]
    assert processor.answered_first == [True]
    assert processor.ran == ["b"]


def test_the_answer_of_a_job_with_a_deadline_does_not_wait_for_the_next_ones(tmp_path: Path) -> None:
    class Slow(Upper):
        def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
            if raw == "B":
                assert channel.wait_for(1, 5)
            return super().finish(job, raw, ctx)

    kit = Kit(Slow(Policy(batch=Batch(2))), tmp_path)
    channel = kit.channel
    kit.send(kit.request("a", deadline=datetime.now(UTC) + timedelta(seconds=60)), kit.request("b"))
    kit.work()
    assert [kit.code(slot) for slot in range(2)] == [None, None]
    assert list(kit.channel.answered) == [0, 1]


def test_a_record_that_kills_its_readers_becomes_a_dead_letter_unread(kit: Kit) -> None:
    job = new_id()
    kit.send(kit.request("a"), flags=Flag.REJECTED | Flag.SKIP_DECODING, error_code=b"WORKER_LOST", headers=named(job))
    kit.work()
    assert kit.channel.answered[0].dead_reason == "UNDECODABLE"
    assert kit.result(0)["header"]["job_id"] == job


def test_a_job_past_its_deadline_is_not_run(kit: Kit) -> None:
    kit.send(kit.request("a", deadline=datetime.now(UTC) - timedelta(milliseconds=1)))
    kit.work()
    assert kit.code(0) == "DEADLINE_EXCEEDED"
    assert kit.processor.batches == []


def test_bytes_that_are_no_record_become_a_dead_letter_and_fail_the_job_that_the_headers_name(kit: Kit) -> None:
    job = new_id()
    kit.send(b"", b"nonsense", kit.request("x") + b"trailing")
    kit.send(b"nonsense", headers={JOB: job.encode(), RUN: b"2", ATTEMPT: b"5"})
    kit.send(b"nonsense", headers=named("not a job id"))
    kit.work()
    assert [kit.channel.answered[slot].dead_reason for slot in range(5)] == ["UNDECODABLE"] * 5
    assert [bool(kit.channel.answered[slot].value) for slot in range(5)] == [False, False, False, True, False]
    assert [kit.result(3)["header"][name] for name in ("job_id", "run", "attempt")] == [job, 2, 5]


def test_a_record_without_a_valid_job_id_is_a_dead_letter(kit: Kit) -> None:
    kit.send(kit.request("x", job_id="j" * 100_000))
    kit.work()
    assert (kit.channel.answered[0].dead_reason, kit.channel.answered[0].value) == ("UNDECODABLE", b"")


def test_an_unknown_schema_is_distinguished_from_bad_bytes(kit: Kit) -> None:
    kit.send(b"\0\0\0\x27\x0fxyz")
    kit.work()
    assert kit.channel.answered[0].dead_reason == "UNKNOWN_SCHEMA"


def test_while_the_registry_is_away_only_jobs_of_unseen_schemas_wait(kit: Kit) -> None:
    other = Codec(kit.registry).encoder(
        "requests.echo-value",
        request_schema(ECHO).replace("A job for echo.", "As an older writer had it."),
        register=True,
    )
    unseen = kit.request("unseen")
    kit.registry.away.set()
    kit.send(other.encode(kit.codec.decode(unseen)), kit.request("a"))
    back = threading.Timer(0.3, kit.registry.away.clear)
    back.start()
    kit.work()
    back.join()
    assert [kit.result(slot)["output"]["message"] for slot in (0, 1)] == ["UNSEEN", "A"]
    assert list(kit.channel.answered) == [1, 0]


def test_headers_that_contradict_the_record_fail_the_job_in_the_record(kit: Kit) -> None:
    kit.send(kit.request("x"), headers=named(new_id()))
    kit.work()
    assert kit.code(0) == "HEADER_MISMATCH"
    assert kit.channel.answered[0].dead_reason == "HEADER_MISMATCH"


@pytest.mark.parametrize(("name", "hint"), [("ehco", "Did you mean 'echo'"), ("embed", "the topic of its processor")])
def test_a_request_for_another_processor_fails_with_a_hint(kit: Kit, name: str, hint: str) -> None:
    kit.send(kit.request("x", processor=name))
    kit.work()
    assert kit.code(0) == "UNKNOWN_PROCESSOR"
    assert hint in kit.result(0)["result"]["error"]["message"]


def test_a_result_too_large_for_the_log_fails_its_job(kit: Kit) -> None:
    kit.send(kit.request("huge"), kit.request("a"))
    kit.work()
    assert (kit.code(0), kit.code(1)) == ("PAYLOAD_TOO_LARGE", None)


def test_files_that_a_job_saved_travel_as_claims_and_its_folder_is_gone(kit: Kit) -> None:
    kit.send(kit.request("save"))
    kit.work()
    (claim,) = kit.result(0)["result"]["output_refs"]
    assert (claim["size"], claim["content_type"]) == (4, "text/plain")
    assert list(kit.scratch.iterdir()) == []


def test_discarded_jobs_are_not_begun(tmp_path: Path) -> None:
    kit = Kit(Upper(), tmp_path)
    kit.send(kit.request("a"), kit.request("b"))
    kit.inbox.put((MessageKind.DISCARD, pack_slots([1])))
    kit.send(kit.request("c"))
    kit._sent -= 1  # one of the three is discarded
    kit.work()
    assert kit.processor.batches == [["a", "c"]]


def test_a_result_names_what_ran_where_and_for_how_long(kit: Kit) -> None:
    kit.send(kit.request("a"))
    kit.work()
    result = kit.result(0)["result"]
    assert result["request_coordinates"] == {"topic": "requests.echo", "partition": 3, "offset": 100, "topic_id": "tid"}
    assert (result["worker_id"], result["device"], result["model_version"], result["code_version"]) == (
        "w1",
        "cpu",
        "7",
        "0.0",
    )
    of_input = input_hash(kit.requests, EchoInput("a"))
    assert (result["input_sha256"], result["execution"], result["timings"]["batch_size"]) == (of_input, 1, 1)
    assert result["timings"]["run_ms"] > 0


def test_a_record_for_which_our_own_code_raises_is_set_aside_and_its_mates_run(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = new_id()

    def limit(header: JobHeader, policy_ms: int | None) -> float | None:
        if header.job_id == odd:
            raise OverflowError("Doe, Jane")
        return None

    monkeypatch.setattr(job_runner, "soft_deadline", limit)
    kit.send(kit.request("a"), kit.request("b"))
    kit.send(kit.request("odd", job_id=odd), headers=named(odd))
    with structlog.testing.capture_logs() as lines:
        kit.work()
    assert [kit.code(slot) for slot in range(3)] == [None, None, "UNDECODABLE"]
    assert kit.channel.answered[2].dead_reason == "UNDECODABLE"
    assert "Jane" not in str(lines) + str(kit.result(2))
