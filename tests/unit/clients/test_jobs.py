"""Submits, waits, lists and results: the requests that are sent, and the records that are made of the answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from sluice_client import Claim, JobError, JobFailed, Result, Upload, UsageError, WaitTimeout, errors, jobs
from sluice_client.models import Job, QueuePlace
from sluice_client.wire import Broken, Request
from tests.unit.clients.kit import Reply, Shell, cut, job_json, json_reply


def test_options_and_claims_are_written_as_the_gateway_reads_them() -> None:
    shell = Shell.replying(json_reply(job_json(), 202))
    claim = Claim("file:///x", "ab" * 32, 3, "text/plain")
    options = {"deadline": datetime(2026, 1, 1, 9, tzinfo=UTC), "lane": "bulk", "case_id": None, "labels": {"a": "b"}}
    shell.run(jobs.submit(shell.context, "segmentation", {"volume": Upload("u1", claim)}, "k", options))
    body = json.loads(bytes(shell.requests[0].content if isinstance(shell.requests[0].content, bytes) else b""))
    assert body == {
        "processor": "segmentation",
        "input": {"volume": {"uri": "file:///x", "sha256": "ab" * 32, "size": 3, "content_type": "text/plain"}},
        "deadline": "2026-01-01T09:00:00+00:00",
        "lane": "bulk",
        "labels": {"a": "b"},
    }


def test_a_span_is_a_deadline_from_now() -> None:
    shell = Shell.replying(json_reply(job_json(), 202))
    shell.run(jobs.submit(shell.context, "echo", {}, None, {"deadline": timedelta(hours=1)}))
    content = shell.requests[0].content
    assert isinstance(content, bytes)
    left = datetime.fromisoformat(json.loads(content)["deadline"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize("options", [{"dead_line": 1}, {"deadline": datetime(2026, 1, 1)}])
def test_an_option_that_cannot_be_meant_is_refused_before_anything_is_sent(options: dict[str, object]) -> None:
    shell = Shell.replying()
    with pytest.raises(UsageError):
        shell.run(jobs.submit(shell.context, "echo", {}, None, options))


def test_a_job_has_typed_fields_and_ignores_those_of_a_newer_gateway() -> None:
    answer = job_json(
        created_at="2026-01-01T00:00:00.5Z", queue={"position": 3, "estimated_start_s": 2}, percent=12, invented=[1]
    )
    shell = Shell.replying(json_reply(answer))
    found = shell.run(jobs.job(shell.context, "j1", None))
    assert found == Job(
        "j1",
        "echo",
        "PENDING",
        created_at=datetime(2026, 1, 1, 0, 0, 0, 500_000, UTC),
        queue=QueuePlace(3, 2.0, None),
        percent=12.0,
    )
    assert not found.ended


@pytest.mark.parametrize(
    "wrong", [{"job_id": 5}, {"job_id": None}, {"run": "0"}, {"created_at": "today"}, {"run": True}]
)
def test_a_field_of_another_type_is_named(wrong: dict[str, object]) -> None:
    shell = Shell.replying(json_reply(job_json() | wrong))
    with pytest.raises(errors.UnexpectedAnswer, match=next(iter(wrong))):
        shell.run(jobs.job(shell.context, "j1", None))


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    shell = Shell.replying(json_reply(job_json()))
    shell.run(jobs.job(shell.context, "../tokens?x=1", None))
    assert urlsplit(shell.requests[0].url).path == "/v1/jobs/..%2Ftokens%3Fx%3D1"
    with pytest.raises(UsageError):
        shell.run(jobs.job(shell.context, "..", None))


def test_a_list_fetches_each_page_when_it_is_needed() -> None:
    pages = {None: (["a", "b"], "x y"), "x y": (["c"], None)}

    def server(request: Request) -> Reply | Broken:
        query = parse_qs(urlsplit(request.url).query)
        assert query["state"] == ["FAILED"]
        ids, cursor = pages[query.get("cursor", [None])[0]]
        return json_reply({"items": [job_json(job_id=name) for name in ids], "next_cursor": cursor})

    shell = Shell(server)
    shell.run(jobs.jobs(shell.context, {"state": "FAILED"}, 2))
    assert [job.job_id for job in shell.emitted] == ["a", "b", "c"]
    assert len(shell.requests) == 2


class Clocked:
    """A gateway that keeps a long poll for as long as it was asked to, and where the job ends at a moment."""

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.shell = Shell(self.answer)

    def answer(self, request: Request) -> Reply | Broken:
        asked = float(parse_qs(urlsplit(request.url).query).get("wait", ["0"])[0])
        self.shell.now = max(self.shell.now, min(self.ends_at, self.shell.now + asked))
        return json_reply(job_json("COMPLETED" if self.shell.now >= self.ends_at else "PROCESSING"))


def test_a_wait_is_a_few_long_polls_and_ends_with_the_job() -> None:
    gateway = Clocked(ends_at=1000 + 60)
    shell = gateway.shell
    assert shell.run(jobs.wait(shell.context, "j1", 600, None)).state == "COMPLETED"
    assert len(shell.requests) == 3
    assert shell.now == 1060
    assert shell.requests[0].read_s == shell.context.limits.read_s + 25


def test_a_wait_that_is_too_short_raises_with_the_job_as_it_was() -> None:
    shell = Clocked(ends_at=2000).shell
    with pytest.raises(WaitTimeout) as raised:
        shell.run(jobs.wait(shell.context, "j1", 30.5, None))
    assert isinstance(raised.value, TimeoutError)
    assert isinstance(raised.value.last, Job)
    assert raised.value.last.state == "PROCESSING"
    assert shell.now == pytest.approx(1030.5, abs=1)


def test_a_wait_of_nothing_looks_once() -> None:
    shell = Clocked(ends_at=2000).shell
    with pytest.raises(WaitTimeout):
        shell.run(jobs.wait(shell.context, "j1", 0, None))
    assert len(shell.requests) == 1


def test_a_gateway_that_answers_long_polls_at_once_is_not_flooded() -> None:
    shell = Shell(lambda request: json_reply(job_json("PENDING")))
    with pytest.raises(WaitTimeout):
        shell.run(jobs.wait(shell.context, "j1", 100, None))
    assert len(shell.requests) < 70


def test_a_wait_survives_a_restart_of_the_gateway() -> None:
    shell = Shell.replying(cut(), cut(sent=False), Reply(502), json_reply(job_json("FAILED")))
    assert shell.run(jobs.wait(shell.context, "j1", None, None)).state == "FAILED"


def test_a_batch_is_waited_for_until_it_is_done() -> None:
    batch = {"batch_id": "b", "processor": "echo", "total": 2}
    shell = Shell.replying(json_reply(batch | {"ended": 1}), json_reply(batch | {"ended": 2, "done": True}))
    assert shell.run(jobs.wait_batch(shell.context, "b", None)).ended == 2
    assert shell.sleeps == [0.1]


def test_a_result_gives_its_output_or_raises_what_happened() -> None:
    assert Result("j1", "COMPLETED", output={"length": 2}).output_or_raise() == {"length": 2}
    failed = Result("j1", "FAILED", error=JobError("TIMEOUT_ERROR", "It took too long."))
    with pytest.raises(JobFailed, match="TIMEOUT_ERROR") as raised:
        failed.output_or_raise()
    assert (raised.value.status, raised.value.code) == ("FAILED", "TIMEOUT_ERROR")
