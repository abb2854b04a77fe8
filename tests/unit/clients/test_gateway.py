"""The client against the gateway itself, which serves HTTP on a flow in memory."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import gateway.models
from gateway.app import create_app
from gateway.ports import Ports
from gateway.processors import Processor
from gateway.result_body import JobResult, ResultFile
from gateway.uploads import ClaimBody, UploadBody
from processors.protocol import Job, JobContext
from schemas.errors import InvalidInput as InvalidJobInput
from schemas.records import EchoInput, EchoOutput
from sluice_client import (
    AsyncClient,
    BatchOptions,
    Client,
    Conflict,
    EventFilter,
    Forbidden,
    InvalidInput,
    JobFailed,
    JobFilter,
    JobOptions,
    Limits,
    NotFinished,
    NotFound,
    Unauthenticated,
    UnknownProcessor,
    WaitTimeout,
    models,
)
from streams.testing import Flow
from tests.harness.gateway_service import open_gateway, token_for
from tests.harness.processors.narrator import NARRATOR, Narrator

CONTENT = random.Random(5).randbytes(500_000)


class Saver(Narrator):
    """Saves a file beside its answer; with the message `fail` it fails."""

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        if job.input.message == "fail":
            raise InvalidJobInput("The message is fail.")
        path = ctx.scratch() / "mask.csv"
        path.write_bytes(CONTENT)
        ctx.save(path, "text/csv")
        return super().finish(job, raw, ctx)


@dataclass(frozen=True)
class Served:
    """A flow and the address of the gateway that serves it."""

    flow: Flow
    url: str


@pytest.fixture(scope="module")
def door() -> Iterator[Served]:
    with Flow("echo", Saver, contract=NARRATOR) as flow, open_gateway(flow.settings) as url:
        yield Served(flow, url)


@pytest.fixture
def client(door: Served) -> Iterator[Client]:
    with Client(door.url) as opened:
        yield opened


def test_a_job_is_submitted_waited_for_and_listed(door: Served, client: Client) -> None:
    job = client.submit("echo", {"message": "hi"}, external_id="e-1", labels={"a": "b"}, deadline=timedelta(hours=1))
    assert (job.state, job.external_id, job.labels, job.ended) == ("PENDING", "e-1", {"a": "b"}, False)
    assert client.job(job.job_id).job_id == job.job_id
    door.flow.settle()
    assert client.wait(job.job_id, 10).state == "COMPLETED"
    assert [found.job_id for found in client.jobs(external_id="e-1", state="COMPLETED")] == [job.job_id]


def test_a_wait_returns_when_the_job_ends(door: Served, client: Client) -> None:
    job = client.submit("echo", {"message": "hi"})
    with pytest.raises(WaitTimeout):
        client.wait(job.job_id, 0.1)
    with ThreadPoolExecutor(1) as waiting:
        ended = waiting.submit(client.wait, job.job_id, 20)
        door.flow.settle()
        assert ended.result().state == "COMPLETED"


def test_one_key_is_one_job_from_many_threads_and_another_input_is_a_conflict(door: Served, client: Client) -> None:
    def submit(_: int) -> str:
        return client.submit("echo", {"message": "once"}, idempotency_key="order-7").job_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(submit, range(24)))) == 1
    with pytest.raises(Conflict):
        client.submit("echo", {"message": "other"}, idempotency_key="order-7")


def test_a_batch_has_one_handle(door: Served, client: Client) -> None:
    batch = client.submit_batch("echo", ({"message": str(number)} for number in range(5)), case_id="c-9")
    assert (batch.total, len(batch.job_ids), batch.done) == (5, 5, False)
    door.flow.settle()
    assert client.wait_batch(batch.batch_id, 10).counts == {"COMPLETED": 5}
    assert {job.job_id for job in client.jobs(page=2, batch_id=batch.batch_id)} == set(batch.job_ids)


def test_a_cancelled_job_ends_as_such(door: Served, client: Client) -> None:
    job = client.submit("echo", {"message": "hi"}, not_before=timedelta(hours=1))
    door.flow.settle()
    client.cancel(job.job_id, "wrong series")
    door.flow.settle()
    assert client.wait(job.job_id, 10).state == "CANCELLED"


def test_a_result_has_the_output_and_its_files_are_downloaded(door: Served, client: Client, tmp_path: Path) -> None:
    job_id = door.flow.submit("narrator", {"message": "hi"})
    door.flow.settle(worker=False)
    with pytest.raises(NotFinished):
        client.result(job_id)
    door.flow.settle()
    result = client.result(job_id)
    assert result.output_or_raise()["message"] == "hi"
    assert (result.processor, result.device) == ("narrator", "cpu")
    (file,) = result.files
    assert client.download(file, tmp_path).read_bytes() == CONTENT


def test_a_download_goes_on_from_the_byte_that_is_missing(door: Served, client: Client, tmp_path: Path) -> None:
    job_id = door.flow.submit("narrator", {"message": "hi"})
    door.flow.settle()
    (file,) = client.result(job_id).files
    (tmp_path / f".x.{file.sha256[:16]}.part").write_bytes(CONTENT[:400_000])
    assert client.download(file, tmp_path / "x").read_bytes() == CONTENT


def test_a_failed_job_raises_its_error(door: Served, client: Client) -> None:
    job_id = door.flow.submit("narrator", {"message": "fail"})
    door.flow.settle()
    result = client.result(job_id)
    with pytest.raises(JobFailed, match="The message is fail") as raised:
        result.output_or_raise()
    assert (raised.value.status, raised.value.code) == ("FAILED", "INVALID_INPUT")


@pytest.mark.parametrize("size", [0, 900, 300_000])
def test_a_file_is_uploaded_whole_or_in_parts(door: Served, tmp_path: Path, size: int) -> None:
    path = tmp_path / "größe.bin"
    path.write_bytes(random.Random(size).randbytes(size))
    with Client(door.url, limits=Limits(parts_from=1000, part=70_000)) as client:
        for resume in (None, tmp_path / "resume.json"):
            upload = client.upload(path, kind="mr", case_id="c-3", resume=resume)
            assert upload.claim.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            assert (upload.claim.size, upload.filename, upload.kind, upload.case_id) == (size, path.name, "mr", "c-3")
    assert not (tmp_path / "resume.json").exists()


def test_errors_are_those_of_their_code(client: Client) -> None:
    with pytest.raises(UnknownProcessor) as unknown:
        client.submit("ecko", {"message": "hi"})
    assert "echo" in unknown.value.next_step
    with pytest.raises(InvalidInput):
        client.submit("echo", {"mesage": "hi"})
    with pytest.raises(InvalidInput) as invalid:
        client.submit("echo", {"message": "hi"}, max_attempts=0)
    assert invalid.value.errors[0]["loc"] == ["body", "max_attempts"]
    with pytest.raises(NotFound):
        client.job("019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10")


def test_a_token_is_sent_and_its_scopes_hold(door: Served) -> None:
    token = token_for(door.flow.settings, "clinic", ("read",))
    with open_gateway(door.flow.settings, gateway_auth="token") as url:
        with Client(url, token) as client:
            assert list(client.jobs()) == []  # of a tenant that sees nothing of the others
            with pytest.raises(Forbidden):
                client.submit("echo", {"message": "hi"})
        with Client(url, "") as client, pytest.raises(Unauthenticated) as refused:
            client.job("019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10")
    assert "sluice tokens create" in refused.value.next_step


def test_processors_are_listed_with_the_schema_of_their_input(client: Client) -> None:
    echo = next(found for found in client.processors() if found.name == "echo")
    assert "message" in echo.input_schema["properties"]


def test_the_asynchronous_client_submits_many_at_once(door: Served) -> None:
    async def submit_all() -> list[str]:
        async with AsyncClient(door.url) as client:
            jobs = await asyncio.gather(*(client.submit("echo", {"message": str(n)}, case_id="c-1") for n in range(20)))
            await asyncio.to_thread(door.flow.settle)
            ended = await asyncio.gather(*(client.wait(job.job_id, 20) for job in jobs))
            assert {job.state for job in ended} == {"COMPLETED"}
            return [job.job_id async for job in client.jobs(case_id="c-1", page=7)]

    assert len(set(asyncio.run(submit_all()))) == 20


def fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_the_client_has_the_options_of_the_gateway_and_no_field_that_it_does_not_send() -> None:
    assert set(JobOptions.__annotations__) == fields_of(gateway.models.SubmitJob) - {"processor", "input"}
    assert set(BatchOptions.__annotations__) == fields_of(gateway.models.SubmitBatch) - {"processor", "inputs"}
    pairs: list[tuple[type[Any], type[BaseModel]]] = [
        (models.Job, gateway.models.Job),
        (models.Batch, gateway.models.Batch),
        (models.JobError, gateway.models.JobError),
        (models.Upload, UploadBody),
        (models.Claim, ClaimBody),
        (models.ProcessorInfo, Processor),
        (models.Result, JobResult),
        (models.File, ResultFile),
    ]
    for ours, theirs in pairs:
        assert {field.name for field in fields(ours)} <= fields_of(theirs)


def test_the_client_offers_the_filters_that_the_gateway_has(door: Served) -> None:
    paths: dict[str, Any] = create_app(Ports(door.flow.settings)).openapi()["paths"]
    names = {path: {each["name"] for each in paths[path]["get"]["parameters"]} for path in ("/v1/jobs", "/v1/events")}
    assert set(JobFilter.__annotations__) == names["/v1/jobs"] - {"limit", "cursor"}
    assert set(EventFilter.__annotations__) == names["/v1/events"] - {"after", "last-event-id"}
