"""Event streams go on after a broken connection, where they were."""

from __future__ import annotations

import json

import pytest

from sluice_client import OutcomeEvent, ProgressEvent, StateEvent, TextEvent, UsageError, errors, events
from sluice_client.context import Retry
from sluice_client.wire import Broken, Request
from tests.unit.clients.kit import Chunk, Reply, Shell, cut, job_json, problem

STREAM = {"content-type": "text/event-stream; charset=utf-8"}


def message(number: int, name: str, data: object) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


def progress(number: int) -> bytes:
    return message(number, "progress", {"job_id": "j1", "percent": number})


OUTCOME = message(99, "outcome", {"job_id": "j1", "status": "COMPLETED", "output": {}})


def stream(*chunks: Chunk) -> Reply:
    return Reply(200, chunks, STREAM)


def ids(shell: Shell) -> list[str]:
    return [event.id for event in shell.emitted]


def test_events_of_a_job_are_typed_and_end_with_its_outcome() -> None:
    text = message(3, "text", {"job_id": "j1", "text": "Hello"})
    unknown = message(4, "invented", {"a": 1})
    state = message(1, "state", job_json("PROCESSING"))
    shell = Shell.replying(stream(state, progress(2), text, unknown, OUTCOME, progress(100)))
    shell.run(events.follow(shell.context, "j1", {}, None))
    assert [type(event) for event in shell.emitted] == [StateEvent, ProgressEvent, TextEvent, OutcomeEvent]
    assert {event.job_id for event in shell.emitted} == {"j1"}
    assert shell.requests[0].headers["accept"] == "text/event-stream"


def test_a_broken_stream_goes_on_after_the_last_event_without_loss_or_repetition() -> None:
    """The gateway cuts every connection in the middle of an event."""
    log = [progress(number) for number in range(1, 20)] + [OUTCOME]

    def server(request: Request) -> Reply | Broken:
        after = int(request.headers.get("last-event-id", "0"))
        rest = b"".join(log[after:])
        return stream(rest[: len(log[0]) * 3], cut()) if after < 15 else stream(rest)

    shell = Shell(server)
    shell.run(events.follow(shell.context, "j1", {}, None))
    assert ids(shell) == [str(number) for number in range(1, 20)] + ["99"]
    assert len(shell.requests) > 5


def test_a_stream_that_the_gateway_ends_is_opened_again_after_the_wait_that_it_wishes() -> None:
    shell = Shell.replying(stream(b"retry: 3000\n\n", progress(1)), stream(OUTCOME))
    shell.run(events.follow(shell.context, "j1", {}, None))
    assert ids(shell) == ["1", "99"]
    assert shell.sleeps == [3]
    assert shell.requests[1].headers["last-event-id"] == "1"


def test_a_reader_goes_on_after_the_event_that_an_earlier_process_handled() -> None:
    shell = Shell.replying(stream(OUTCOME))
    shell.run(events.follow(shell.context, "j1", {}, "41"))
    assert shell.requests[0].headers["last-event-id"] == "41"


def test_a_gateway_that_is_away_for_a_while_is_waited_for() -> None:
    shell = Shell.replying(cut(sent=False), problem(503, "UNREACHABLE", retry_after="4"), Reply(502), stream(OUTCOME))
    shell.run(events.follow(shell.context, "j1", {}, None))
    assert ids(shell) == ["99"]
    assert shell.sleeps[1] >= 4


def test_a_gateway_that_stays_away_raises() -> None:
    shell = Shell(lambda request: cut(sent=False), retry=Retry(reconnect_s=60))
    with pytest.raises(errors.Unreachable):
        shell.run(events.follow(shell.context, "j1", {}, None))
    assert 50 < shell.now - 1000 <= 60


def test_a_refusal_is_raised_and_not_tried_again() -> None:
    shell = Shell.replying(stream(progress(1), cut()), problem(401, "UNAUTHENTICATED"))
    with pytest.raises(errors.Unauthenticated):
        shell.run(events.follow(shell.context, "j1", {}, None))


def test_a_page_in_place_of_a_stream_is_named() -> None:
    shell = Shell.replying(Reply(200, [b"<html>"], {"content-type": "text/html"}))
    with pytest.raises(errors.UnexpectedAnswer, match="not an event stream"):
        shell.run(events.follow(shell.context, "j1", {}, None))


def test_a_server_that_says_204_wants_no_further_connection() -> None:
    shell = Shell.replying(stream(progress(1)), Reply(204))
    shell.run(events.follow(shell.context, None, {"processor": "echo"}, None))
    assert ids(shell) == ["1"]
    assert shell.requests[0].url.endswith("/v1/events?processor=echo")


def test_an_outcome_does_not_end_the_stream_of_many_jobs() -> None:
    shell = Shell.replying(stream(OUTCOME, progress(100)), Reply(204))
    shell.run(events.follow(shell.context, None, {}, None))
    assert ids(shell) == ["99", "100"]


def test_a_job_and_a_filter_exclude_each_other() -> None:
    shell = Shell.replying()
    with pytest.raises(UsageError):
        shell.run(events.follow(shell.context, "j1", {"case_id": "c"}, None))


def test_the_text_of_a_model_says_where_it_begins_again() -> None:
    def text(number: int, piece: str, execution: int) -> bytes:
        return message(number, "text", {"job_id": "j1", "text": piece, "execution": execution})

    shell = Shell.replying(
        stream(text(1, "He", 1), text(2, "llo", 1), progress(3), cut()),
        stream(text(4, "Hi", 2), text(5, "!", 2), OUTCOME),
    )
    shell.run(events.texts(shell.context, "j1"))
    assert [(piece.text, piece.restarted) for piece in shell.emitted] == [
        ("He", False),
        ("llo", False),
        ("Hi", True),
        ("!", False),
    ]
