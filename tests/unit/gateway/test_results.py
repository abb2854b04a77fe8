"""Results and their files over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from gateway.ports import Ports
from gateway.result_body import files_of, result_of_record
from processors.protocol import Job, JobContext
from schemas.ids import new_id
from schemas.records import Claim, EchoInput, EchoOutput
from streams import wiring
from streams.testing import Flow
from tests.harness.gateway_app import serving
from tests.harness.gateway_on_twins import TenantTokens
from tests.harness.processors.narrator import NARRATOR, Narrator

CONTENT = b"0123456789" * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Saver(Narrator):
    """Saves a file beside its answer; with the message `fail` it fails."""

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        if job.input.message == "fail":
            raise ValueError("a patient's name")
        path = ctx.scratch() / "mask.csv"
        path.write_bytes(CONTENT)
        ctx.save(path, "text/csv")
        return super().finish(job, raw, ctx)


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow(Saver, contract=NARRATOR) as flow:
        yield flow


@asynccontextmanager
async def client_of(flow: Flow, tenant: str = "default") -> AsyncIterator[tuple[httpx.AsyncClient, Ports]]:
    async with serving(flow.settings.model_copy(update={"gateway_auth": "open"})) as (client, ports):
        ports.authenticator = TenantTokens()
        client.headers["Authorization"] = f"Bearer {tenant}"
        yield client, ports


def get(flow: Flow, path: str, tenant: str = "default", **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with client_of(flow, tenant) as (client, _):
            return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return asyncio.run(asked())


def submitted(flow: Flow, message: str = "hello") -> str:
    job = flow.submit("narrator", {"message": message})
    flow.settle()
    return job


def test_a_result_names_its_output_model_and_files(flow: Flow) -> None:
    job = submitted(flow)
    answer = get(flow, f"/v1/jobs/{job}/result")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["output"], body["error"]) == ("COMPLETED", {"message": "hello", "length": 5}, None)
    (file,) = body["files"]
    assert file == {
        "name": f"file-{SHA256[:12]}.csv",
        "sha256": SHA256,
        "size": len(CONTENT),
        "content_type": "text/csv",
        "href": f"/v1/jobs/{job}/files/{SHA256}?run=0",
    }
    assert get(flow, file["href"]).content == CONTENT


def test_a_failed_job_has_a_result_with_its_error(flow: Flow) -> None:
    body = get(flow, f"/v1/jobs/{submitted(flow, 'fail')}/result").json()
    assert (body["status"], body["output"], body["error"]["code"]) == ("FAILED", None, "PROCESSOR_ERROR")


def test_the_record_of_an_outcome_gives_the_same_body_as_the_store(flow: Flow) -> None:
    job = submitted(flow)
    (message,) = flow.records(flow.settings.topics.outcomes("narrator"))
    header, body = result_of_record(wiring.codec(flow.settings).decode(message.value() or b""))
    assert header.tenant == "default"
    assert body.model_dump(mode="json") == get(flow, f"/v1/jobs/{job}/result").json()


def test_a_job_that_runs_has_no_result_yet(flow: Flow) -> None:
    job = flow.submit("narrator", {"message": "later"}, not_before=flow.now + timedelta(days=1))
    flow.settle()
    for path in (f"/v1/jobs/{job}/result", f"/v1/jobs/{job}/files/{SHA256}"):
        answer = get(flow, path)
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_FINISHED")
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("path", ["result", f"files/{SHA256}"])
def test_another_tenants_job_is_unknown(flow: Flow, path: str) -> None:
    job = submitted(flow)
    assert get(flow, f"/v1/jobs/{job}/{path}", "other").status_code == 404
    assert get(flow, f"/v1/jobs/{new_id()}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=90-", 206, 90, 100),
        ("bytes=-5", 206, 95, 100),
        ("bytes=95-400", 206, 95, 100),
        ("bytes=5-4", 200, 0, 100),
        ("bytes=0-1,4-5", 200, 0, 100),
        ("items=0-1", 200, 0, 100),
    ],
)
def test_a_range_is_served_and_one_that_is_not_understood_gets_the_whole_file(
    flow: Flow, asked: str, status: int, start: int, stop: int
) -> None:
    answer = get(flow, f"/v1/jobs/{submitted(flow)}/files/{SHA256}", range=asked)
    assert (answer.status_code, answer.content) == (status, CONTENT[start:stop])
    assert answer.headers.get("content-range") == (f"bytes {start}-{stop - 1}/100" if status == 206 else None)
    assert answer.headers["etag"] == f'"{SHA256}"'
    assert answer.headers["content-disposition"].startswith("attachment;")


def test_a_range_beyond_the_end_is_a_problem_and_one_of_another_content_gets_the_whole(flow: Flow) -> None:
    path = f"/v1/jobs/{submitted(flow)}/files/{SHA256}"
    beyond = get(flow, path, range="bytes=100-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */100")
    assert get(flow, path, range="bytes=0-1", if_range='"other"').status_code == 200
    assert get(flow, path, if_none_match=f'"{SHA256}"').status_code == 304


def test_head_says_the_size_and_sends_no_bytes(flow: Flow) -> None:
    async def asked() -> httpx.Response:
        async with client_of(flow) as (client, _):
            return await client.head(f"/v1/jobs/{job}/files/{SHA256}")

    job = submitted(flow)
    answer = asyncio.run(asked())
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "100", b"")


def test_only_files_of_the_result_can_be_read(flow: Flow) -> None:
    job = submitted(flow)
    other = wiring.object_store(flow.settings).put_bytes(b"another tenant's")
    assert get(flow, f"/v1/jobs/{job}/files/{other.sha256}").status_code == 404
    assert get(flow, f"/v1/jobs/{job}/files/..%2F..%2Fetc%2Fpasswd").status_code in (404, 422)


def test_a_file_that_is_gone_or_altered_is_never_served_as_if_it_were_whole(flow: Flow) -> None:
    job = submitted(flow)
    (stored,) = (path for path in Path(flow.settings.home).glob(f"objects/**/{SHA256}"))
    stored.write_bytes(CONTENT[::-1])
    assert get(flow, f"/v1/jobs/{job}/files/{SHA256}").status_code == 404
    stored.unlink()
    assert get(flow, f"/v1/jobs/{job}/files/{SHA256}").status_code == 404


def test_a_file_is_named_after_the_field_that_has_it() -> None:
    claims = [Claim("file:///a", digit * 64, 1, "application/dicom") for digit in "abc"]
    output = {"mask": {"uri": "", "sha256": "a" * 64}, "slices": [{"uri": "", "sha256": "b" * 64}], "n": 1}
    names = [file.name for file in files_of("job", 0, [*claims, claims[0]], output)]
    assert names == ["mask.dcm", "slices-1.dcm", f"file-{'c' * 12}.dcm"]
