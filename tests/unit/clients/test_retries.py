"""When a request is sent again, how long the client waits before, and which error it raises in the end."""

from __future__ import annotations

import pytest

from sluice_client import errors, jobs
from sluice_client.context import Context, Limits, Retry
from sluice_client.errors import UsageError
from tests.unit.clients.kit import Reply, Shell, cut, job_json, json_reply, problem


def submit(shell: Shell, key: str | None = None, **options: object) -> str:
    return shell.run(jobs.submit(shell.context, "echo", {"message": "hi"}, key, options)).job_id


def test_a_submit_is_sent_again_with_the_same_key_after_a_broken_connection() -> None:
    shell = Shell.replying(cut(sent=False), cut(), json_reply(job_json(), 202))
    assert submit(shell) == "j1"
    keys = {request.headers["idempotency-key"] for request in shell.requests}
    assert len(shell.requests) == 3
    assert len(keys) == 1
    assert {request.content for request in shell.requests} == {b'{"processor":"echo","input":{"message":"hi"}}'}


def test_two_submits_without_a_key_are_two_jobs() -> None:
    shell = Shell.replying(json_reply(job_json(), 202), json_reply(job_json(job_id="j2"), 202))
    submit(shell)
    submit(shell)
    assert len({request.headers["idempotency-key"] for request in shell.requests}) == 2


def test_an_answer_that_breaks_in_its_middle_counts_as_none() -> None:
    shell = Shell.replying(Reply(202, [b'{"job', cut()]), json_reply(job_json(), 200))
    assert submit(shell, "mine") == "j1"


def test_waits_double_up_to_the_longest_one() -> None:
    shell = Shell.replying(*[cut()] * 6, retry=Retry(attempts=6, first_s=1, longest_s=5))
    with pytest.raises(errors.Unreachable, match=r"did not answer \(ReadError\)"):
        submit(shell)
    assert shell.sleeps == [1, 2, 4, 5, 5]


def test_jitter_shortens_a_wait_by_up_to_a_half() -> None:
    assert Retry(first_s=1).delay(3, None, 0.0) == 2
    assert Retry(first_s=1).delay(3, None, 1.0) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_is_never_shorter_than_retry_after(status: int) -> None:
    shell = Shell.replying(problem(status, "LATER", retry_after="7"), json_reply(job_json(), 202))
    submit(shell)
    assert 7 <= shell.sleeps[0] <= 7.2


def test_retry_after_may_be_a_time_by_the_gateways_clock() -> None:
    late = {"retry_after": "Sat, 28 Nov 2026 12:00:09 GMT", "date": "Sat, 28 Nov 2026 12:00:00 GMT"}
    shell = Shell.replying(problem(503, "UNREACHABLE", **late), json_reply(job_json(), 202))
    submit(shell)
    assert 9 <= shell.sleeps[0] <= 9.2


def test_a_retry_after_beyond_the_total_time_raises_at_once() -> None:
    shell = Shell.replying(problem(429, "QUOTA_EXCEEDED", retry_after="3600"))
    with pytest.raises(errors.QuotaExceeded) as raised:
        submit(shell)
    assert raised.value.retry_after_s == 3600
    assert shell.sleeps == []


def test_a_deadline_that_cannot_be_met_is_for_the_caller_to_move() -> None:
    shell = Shell.replying(problem(503, "DEADLINE_CANNOT_BE_MET", retry_after="1"))
    with pytest.raises(errors.DeadlineCannotBeMet):
        submit(shell)
    assert len(shell.requests) == 1


def test_one_attempt_turns_retries_off() -> None:
    shell = Shell.replying(cut(sent=False), retry=Retry(attempts=1))
    with pytest.raises(errors.Unreachable):
        submit(shell)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "UNAUTHENTICATED", errors.Unauthenticated),
        (403, "FORBIDDEN", errors.Forbidden),
        (404, "NOT_FOUND", errors.NotFound),
        (409, "CONFLICT", errors.Conflict),
        (409, "NOT_FINISHED", errors.NotFinished),
        (413, "PAYLOAD_TOO_LARGE", errors.PayloadTooLarge),
        (422, "INVALID_INPUT", errors.InvalidInput),
        (422, "UNKNOWN_PROCESSOR", errors.UnknownProcessor),
        (400, "BAD_REQUEST", errors.InvalidInput),
        (500, "INTERNAL", errors.Refused),
    ],
)
def test_each_code_has_its_error_with_the_next_step(status: int, code: str, error: type[errors.Refused]) -> None:
    shell = Shell.replying(problem(status, code))
    with pytest.raises(errors.SluiceError) as raised:
        submit(shell)
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code, raised.value.next_step) == (status, code, "Do this.")
    assert len(shell.requests) == 1


def test_fields_that_are_wrong_are_named() -> None:
    body = {
        "status": 422,
        "code": "INVALID_INPUT",
        "detail": "It does not match.",
        "errors": [{"loc": ["body", "lane"], "msg": "no"}],
    }
    with pytest.raises(errors.InvalidInput, match=r"It does not match\. body\.lane: no\."):
        submit(Shell.replying(json_reply(body, 422)))


@pytest.mark.parametrize(
    "reply", [Reply(200, [b"<html>"]), Reply(200, [b"[]"]), Reply(301, [b""]), Reply(418, [b"tea"])]
)
def test_an_answer_of_something_else_is_named_as_such(reply: Reply) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        submit(Shell.replying(reply))


def test_a_proxys_page_with_502_is_waited_for() -> None:
    shell = Shell.replying(Reply(502, [b"<html>"]), json_reply(job_json(), 202))
    assert submit(shell) == "j1"


def test_an_answer_beyond_the_limit_is_not_read_to_its_end() -> None:
    with pytest.raises(errors.UnexpectedAnswer, match="larger than 10 bytes"):
        submit(Shell.replying(Reply(200, [b"x" * 8] * 100), limits=Limits(most_bytes=10)))


def test_the_token_goes_to_the_gateways_origin_only() -> None:
    context = Context("https://gateway.example/sluice", "slt_secret")
    assert context.request("GET", "/v1/jobs").url == "https://gateway.example/sluice/v1/jobs"
    assert context.request("GET", "/v1/jobs").headers["authorization"] == "Bearer slt_secret"
    for elsewhere in ("https://bucket.example/x", "http://gateway.example/x", "https://gateway.example:8443/x"):
        assert "authorization" not in context.request("GET", elsewhere).headers


@pytest.mark.parametrize("url", ["", "gateway.example", "ftp://gateway.example", "https://gateway.example/?a=b"])
def test_a_url_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(UsageError, match="SLUICE_GATEWAY_URL"):
        Context(url)


def test_secrets_are_in_no_repr() -> None:
    assert "slt_secret" not in repr(Context("https://gateway.example", "slt_secret"))


@pytest.mark.parametrize("key", ["", "two\nlines", "grüße", " padded"])
def test_a_key_that_a_header_cannot_hold_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="idempotency key"):
        submit(Shell.replying(), key)


def test_an_input_without_a_json_form_is_refused_without_being_quoted() -> None:
    shell = Shell.replying()
    with pytest.raises(UsageError) as raised:
        shell.run(jobs.submit(shell.context, "echo", {"name": {"patient"}}, None, {}))
    assert "patient" not in str(raised.value)
