"""A processor whose output has a field of bytes: base64 in JSON, wherever its output is JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.jsonb import jsonb
from processors.policy import Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.errors import InvalidInput
from schemas.records import EchoInput
from streams.cli.output import jsonable
from streams.testing import Flow, run_processor
from tests.unit.streams.testing.shout import AVRO

BACKEND = "http://backend.example/done"


@dataclass(frozen=True, slots=True)
class BlobOutput:
    message: bytes
    length: int


class Blob:
    """Returns the message as bytes."""

    name, version, request, result, model_sha256 = "shout", "1", EchoInput, BlobOutput, ""
    policy = Policy()

    def load(self, ctx: LoadContext) -> None: ...

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> bytes:
        return job.input.message.encode("utf-16-le")

    def run(self, items: Sequence[bytes]) -> Sequence[bytes]:
        return items

    def finish(self, job: Job[EchoInput], raw: bytes, ctx: JobContext) -> BlobOutput:
        return BlobOutput(raw, len(raw))


@pytest.fixture
def contract(tmp_path: Path) -> ProcessorContract[EchoInput, BlobOutput]:
    (tmp_path / "ShoutRequest.avsc").write_text((AVRO / "ShoutRequest.avsc").read_text())
    result = (AVRO / "ShoutResult.avsc").read_text()
    with_bytes = result.replace('"message", "type": "string"', '"message", "type": "bytes"').replace(
        "EchoOutput", "BlobOutput"
    )
    assert with_bytes != result
    (tmp_path / "ShoutResult.avsc").write_text(with_bytes)
    return ProcessorContract("shout", EchoInput, BlobOutput, tmp_path)


def test_its_job_completes_with_base64_in_the_database_and_the_callback(
    contract: ProcessorContract[EchoInput, BlobOutput],
) -> None:
    with Flow(Blob, contract=contract) as flow:
        job = flow.submit("shout", {"message": "ä"}, callback_url=BACKEND)
        flow.settle()
        expected = {"message": "5AA=", "length": 2}
        assert (flow.job(job).state, flow.job(job).output) == ("COMPLETED", expected)
        [callback] = flow.callbacks
        assert callback.event["data"]["output"] == expected
        [outcome] = flow.outcomes("shout")
        assert outcome.output == BlobOutput("ä".encode("utf-16-le"), 2)
        assert jsonable(outcome.output) == expected
        assert jsonable(run_processor(Blob, EchoInput("ä"))) == expected


def test_an_output_that_no_json_has_room_for_fails_its_job_and_the_failure_is_published(
    contract: ProcessorContract[EchoInput, BlobOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(value: object) -> bytes:
        raise InvalidInput("This output has no form in JSON.")

    with Flow(Blob, contract=contract) as flow:
        monkeypatch.setattr("streams.sink.decode.jsonb", refuses)
        job = flow.submit("shout", {"message": "a"})
        flow.settle()
        monkeypatch.setattr("streams.sink.decode.jsonb", jsonb)
        assert flow.job(job).state == "FAILED"
        [outcome] = flow.outcomes("shout")
        assert outcome.result.error is not None
        assert (outcome.header.job_id, outcome.result.error.code) == (job, "UNDECODABLE")
