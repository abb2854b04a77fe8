"""Commands as a person types them: cancel, pause, resume, and where they are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.records import EchoInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.command_line import CommandLine
from tests.harness.services import running
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def sluice(settings: Settings) -> CommandLine:
    return CommandLine(settings)


@pytest.fixture
def services(settings: Settings) -> Iterator[None]:
    with in_thread(Sink(settings, notify=False).run), in_thread(Timekeeper(settings).run):
        yield


@pytest.mark.usefixtures("services")
def test_a_job_is_cancelled_and_shows_who_asked_and_that_it_took_effect(
    settings: Settings, sluice: CommandLine
) -> None:
    with Submitter(settings) as submitter:
        job_id = submitter.submit("echo", EchoInput("hi")).job_id
    done = sluice("cancel", job_id, "--reason", "wrong series", "--wait", "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout) == [{"job_id": job_id, "run": 0, "state": "CANCELLED", "cancel": "took effect"}]
    text = sluice("job", job_id).stdout
    assert "requested at" in text
    assert "(wrong series); it took effect" in text
    assert sluice.json("job", job_id)["cancel"]["reason"] == "wrong series"
    again = sluice("cancel", job_id)
    assert again.returncode == ExitCode.CONFLICT
    assert "already ended" in again.stdout


@pytest.mark.usefixtures("services")
def test_a_batch_is_cancelled_as_far_as_it_is_open(settings: Settings, sluice: CommandLine) -> None:
    with Submitter(settings) as submitter:
        job_ids = {submitter.submit_nowait("echo", EchoInput("hi"), batch_id="night-17") for _ in range(20)}
        submitter.submit_nowait("echo", EchoInput("hi"))
    with wiring.job_store(settings) as store:
        wait_until(lambda: store.counts().get("PENDING") == 21, lambda: f"{store.counts()}")
        done = sluice("cancel", "--batch", "night-17", "--wait", "--json")
        assert done.returncode == ExitCode.OK, done.stderr
        assert {row["job_id"] for row in json.loads(done.stdout)} == job_ids
        assert store.counts() == {"CANCELLED": 20, "PENDING": 1}


def test_the_exit_status_says_why_a_job_can_not_be_cancelled(sluice: CommandLine) -> None:
    assert sluice("cancel", new_id()).returncode == ExitCode.NOT_FOUND
    assert sluice("cancel", "job-1").returncode == ExitCode.USAGE
    assert sluice("cancel").returncode == ExitCode.USAGE


@pytest.mark.usefixtures("services")
def test_a_pause_is_shown_as_requested_until_it_ends(settings: Settings, sluice: CommandLine) -> None:
    done = sluice("pause", "echo", "--reason", "new weights")
    assert done.returncode == ExitCode.OK, done.stderr
    assert "pause of echo requested at" in done.stdout
    with wiring.command_store(settings) as store:
        wait_until(lambda: store.processors(["echo"])[0].paused, lambda: "the command was not applied")
    line = next(line for line in sluice("processors").stdout.splitlines() if line.startswith("echo "))
    assert "paused" in line
    assert "new weights" in line
    assert sluice("resume", "echo", "--wait").returncode == ExitCode.OK  # no worker runs it, so none has to acknowledge
    with wiring.command_store(settings) as store:
        wait_until(lambda: not store.processors(["echo"])[0].paused, lambda: "the command was not applied")
    assert {view["name"]: view["action"] for view in sluice.json("processors")}["echo"] == "resume"


@pytest.mark.usefixtures("services")
def test_a_pause_waits_until_every_worker_has_acknowledged(settings: Settings, sluice: CommandLine) -> None:
    with running(settings, ["worker", "echo"]), Submitter(settings) as submitter:
        submitter.submit("echo", EchoInput("hi"))
        with wiring.job_store(settings) as store:
            wait_until(lambda: store.counts() == {"COMPLETED": 1}, lambda: f"{store.counts()}")
        done = sluice("pause", "echo", "--wait", "--json")
        assert done.returncode == ExitCode.OK, done.stderr
        answer = json.loads(done.stdout)
        assert (len(answer["acknowledged"]), answer["missing"]) == (1, [])


def test_an_unknown_processor_is_refused_with_the_nearest_name(sluice: CommandLine) -> None:
    done = sluice("pause", "ecko")
    assert done.returncode == ExitCode.USAGE
    assert "echo" in done.stderr
