"""Commands on the real stack: they reach the log, the store and, in the end, the job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.errors import UnknownProcessor, UsageError
from schemas.ids import new_id
from schemas.records import Control
from streams import wiring
from streams.admin.tail import last
from streams.client.commands import CommandClient
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.scribe import Scribe, header
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def services(settings: Settings) -> Iterator[None]:
    with in_thread(Sink(settings, notify=False).run), in_thread(Timekeeper(settings).run):
        yield


@pytest.fixture
def commands(settings: Settings) -> Iterator[CommandClient]:
    with CommandClient(settings, by="nurse@ward") as made:
        yield made


def test_commands_have_the_keys_by_which_the_topic_is_compacted(settings: Settings) -> None:
    job_id = new_id()
    with CommandClient(settings, by="nurse@ward") as commands:
        command = commands.cancel(job_id, 2, "moved")
        commands.pause("echo", "new weights")
    records = {record.key: record.value for record in last(settings, settings.topics.control, 10)}
    assert command == Control("cancel", command.at, "nurse@ward", job_id=job_id, run=2, reason="moved")
    assert records.keys() == {f"job:{job_id}:2", "processor:echo"}
    assert records["processor:echo"]["action"] == "pause"
    assert records["processor:echo"]["reason"] == "new weights"


def test_an_impossible_command_is_refused_before_it_is_sent(settings: Settings) -> None:
    with CommandClient(settings) as commands:
        with pytest.raises(UnknownProcessor, match="echo"):
            commands.pause("ecko")
        with pytest.raises(UsageError):
            commands.cancel("job 1")
    assert last(settings, settings.topics.control, 10) == []


@pytest.mark.usefixtures("services")
class TestCancel:
    def test_a_waiting_job_ends_and_its_requester_is_stored(
        self, settings: Settings, scribe: Scribe, commands: CommandClient
    ) -> None:
        job = header(external_id="case-7")
        scribe.request(job)
        commands.cancel(job.job_id, reason="moved")
        scribe.wait(job, "CANCELLED")
        with wiring.job_store(settings) as store:
            view = store.job(job.job_id)
        assert view is not None
        assert view.cancel is not None
        assert view.error is not None
        assert (view.cancel.requested_by, view.cancel.reason) == ("nurse@ward", "moved")
        assert (view.error.code, view.error.message) == ("CANCELLED", "It was cancelled: moved")
        [outcome] = scribe.messages(scribe.names.outcomes("echo"), 1)
        assert wiring.codec(settings).decode(outcome.value())["header"]["external_id"] == "case-7"

    def test_a_job_that_waits_for_its_retry_ends_and_is_not_tried_again(
        self, scribe: Scribe, commands: CommandClient
    ) -> None:
        job = header()
        scribe.request(job)
        scribe.result(job, "retry", retry_in_ms=3_600_000)
        scribe.wait(job, "RETRYING")
        commands.cancel(job.job_id)
        scribe.wait(job, "CANCELLED")
        assert scribe.rows("SELECT due_at, due_kind FROM runs") == [(None, None)]

    def test_a_cancel_that_is_read_before_its_request_waits_for_it(
        self, scribe: Scribe, commands: CommandClient
    ) -> None:
        job = header()
        commands.cancel(job.job_id)
        _wait_for_cancels(scribe, 1)
        scribe.request(job)
        scribe.wait(job, "CANCELLED")

    def test_a_cancel_that_comes_too_late_changes_nothing_and_is_closed(
        self, scribe: Scribe, commands: CommandClient
    ) -> None:
        job = header()
        scribe.request(job)
        scribe.result(job)
        scribe.wait(job, "COMPLETED")
        commands.cancel(job.job_id)
        wait_until(
            lambda: scribe.rows("SELECT ended_at IS NOT NULL FROM cancels") == [(True,)], lambda: "it is still open"
        )
        assert scribe.state(job) == "COMPLETED"
        assert scribe.kinds(job) == ["request", "result"]

    def test_a_running_job_is_left_to_its_worker_for_a_while(self, scribe: Scribe, commands: CommandClient) -> None:
        job, other = header(), header()
        scribe.request(job)

        def runs() -> bool:
            scribe.progress(job)  # called until it takes effect: the sink must have joined the progress group first
            return scribe.state(job) == "PROCESSING"

        wait_until(runs, lambda: f"it is {scribe.state(job)}")
        commands.cancel(job.job_id)
        _wait_for_cancels(scribe, 1)
        scribe.request(other)
        commands.cancel(other.job_id)
        scribe.wait(other, "CANCELLED")
        assert scribe.state(job) == "PROCESSING"
        scribe.rows("UPDATE cancels SET read_at = read_at - interval '8 s', due_at = now() RETURNING 1")
        scribe.wait(job, "CANCELLED")


def _wait_for_cancels(scribe: Scribe, count: int) -> None:
    wait_until(lambda: scribe.rows("SELECT count(*) FROM cancels") == [(count,)], lambda: "not all cancels were stored")


@pytest.mark.usefixtures("services")
def test_a_pause_and_its_acknowledgements_are_shown(
    settings: Settings, scribe: Scribe, commands: CommandClient
) -> None:
    scribe.request(header())
    command = commands.pause("echo", "new weights")
    scribe.control(Control("paused", command.at, "worker-1", processor="echo"))
    with wiring.command_store(settings) as store:
        wait_until(lambda: bool(store.processors(["echo"])[0].acknowledgements), lambda: "no worker has acknowledged")
        wait_until(lambda: store.processors(["echo"])[0].jobs == {"PENDING": 1}, lambda: "no job is waiting")
        [echo, embed] = store.processors(["echo", "embed"])
        assert (echo.paused, echo.requested_by, echo.reason) == (True, "nurse@ward", "new weights")
        assert [(answer.worker_id, answer.action) for answer in echo.acknowledgements] == [("worker-1", "paused")]
        assert (embed.paused, embed.action, embed.acknowledgements, embed.jobs) == (False, None, [], {})
        commands.resume("echo")
        wait_until(lambda: not store.processors(["echo"])[0].paused, lambda: "it is still paused")
        assert store.processors(["echo"])[0].acknowledgements == []


@pytest.mark.usefixtures("services")
def test_a_record_that_is_no_command_is_skipped(scribe: Scribe, commands: CommandClient) -> None:
    scribe.raw(scribe.names.control, b"no avro", [])
    scribe.control(Control("dance", commands.cancel(new_id()).at, processor="echo"))
    commands.cancel(new_id())
    _wait_for_cancels(scribe, 2)
