"""A backend with the client, on the real stack: from submit to callback over HTTP, and outcomes from Kafka."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bench.receiver import Receiver
from sluice_client import Client, OutcomeEvent, Retry, StateEvent, verify
from sluice_client.kafka import Outcome, subscribe
from streams.settings import Settings
from tests.harness.gateway_service import open_gateway
from tests.harness.services import running

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


def test_a_backend_submits_follows_uploads_and_is_called_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLUICE_CALLBACK_SECRETS", SECRET)  # of the services, and of verify()
    with (
        Receiver() as receiver,
        open_gateway(settings) as url,
        running(settings, ["worker", "echo"], ["sink"]),
        Client(url, retry=Retry(first_s=0.05)) as client,
    ):
        (tmp_path / "note.txt").write_text("grüße")
        upload = client.upload(tmp_path / "note.txt", kind="note", case_id="c-1")
        jobs = [
            client.submit("echo", {"message": f"hello {n}"}, callback_url=receiver.url, upload_id=upload.upload_id)
            for n in range(5)
        ]
        events = list(client.events(jobs[0].job_id))
        assert isinstance(events[0], StateEvent)
        assert isinstance(events[-1], OutcomeEvent)
        assert {client.wait(job.job_id, 30).state for job in jobs} == {"COMPLETED"}
        assert client.result(jobs[3].job_id).output_or_raise() == {"message": "hello 3", "length": 7}
        assert {job.job_id for job in client.jobs(upload_id=upload.upload_id)} == {job.job_id for job in jobs}
        assert receiver.wait_for(len(jobs), 30)
        callbacks = [verify(callback.headers, callback.body) for callback in receiver.callbacks]
        assert {callback.data["job_id"] for callback in callbacks} == {job.job_id for job in jobs}
        members_get_each_outcome_once(settings, {job.job_id for job in jobs})


def members_get_each_outcome_once(settings: Settings, job_ids: set[str]) -> None:
    """Read in a group whose first member leaves after two outcomes."""
    handled = take(settings, 2)
    handled += take(settings, len(job_ids) - 2)
    assert sorted(outcome.job_id for outcome in handled) == sorted(job_ids)
    assert {outcome.status for outcome in handled} == {"COMPLETED"}


def take(settings: Settings, count: int) -> list[Outcome]:
    handled: list[Outcome] = []
    with subscribe(
        "echo",
        "backend",
        bootstrap_servers=settings.bootstrap,
        registry_url=settings.registry_url,
        topic_prefix=settings.topic_prefix,
    ) as outcomes:
        for outcome in outcomes:
            handled.append(outcome)
            if len(handled) == count:
                return handled
    raise AssertionError("the subscription ended by itself")
