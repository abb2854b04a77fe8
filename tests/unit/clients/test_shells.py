"""Both shells carry out the same operations over real connections, which break."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from sluice_client import AsyncClient, Client, File, OutcomeEvent, Retry, UsageError, errors
from tests.unit.clients.breaking_server import STREAM_HEAD, BreakingServer, Handler, Received, answer, json_answer
from tests.unit.clients.kit import job_json

QUICK = Retry(first_s=0.01, longest_s=0.02)
CONTENT = bytes(range(256)) * 8000


@pytest.fixture(params=["Client", "AsyncClient"])
def shell(request: pytest.FixtureRequest) -> type[Any]:
    return AsyncClient if request.param == "AsyncClient" else Client


def call(shell: type[Any], url: str, method: str, *args: Any, **options: Any) -> Any:
    """Call a method of either client; a stream's values come as a list."""
    if shell is Client:
        with Client(url, "slt_x", retry=QUICK) as client:
            found = getattr(client, method)(*args, **options)
            return list(found) if isinstance(found, Iterator) else found

    async def asynchronously() -> Any:
        async with AsyncClient(url, "slt_x", retry=QUICK) as client:
            found = getattr(client, method)(*args, **options)
            return [each async for each in found] if isinstance(found, AsyncIterator) else await found

    return asyncio.run(asynchronously())


def one_after_another(*answers: Iterable[bytes]) -> Handler:
    left = list(answers)
    return lambda received: left.pop(0)


def test_a_submit_whose_connection_breaks_is_sent_again_as_the_same_job(shell: type[Any]) -> None:
    whole = json_answer(job_json(), 202)
    with BreakingServer(one_after_another([], [whole[:60]], [whole])) as server:
        assert call(shell, server.url, "submit", "echo", {"message": "hi"}).job_id == "j1"
    assert len({received.headers["idempotency-key"] for received in server.requests}) == 1
    assert {received.headers["authorization"] for received in server.requests} == {"Bearer slt_x"}
    assert len(server.requests) == 3


def test_events_go_on_over_broken_connections(shell: type[Any]) -> None:
    events = [f'id: {n}\nevent: progress\ndata: {{"job_id": "j1"}}\n\n'.encode() for n in range(1, 6)]
    events.append(b'id: 6\nevent: outcome\ndata: {"job_id": "j1", "status": "COMPLETED"}\n\n')

    def serve(received: Received) -> Iterable[bytes]:
        after = int(received.headers.get("last-event-id", "0"))
        return [STREAM_HEAD, b"retry: 1\n\n", b"".join(events[after : after + 2]), events[after + 1][:10]]

    with BreakingServer(serve) as server:
        found = call(shell, server.url, "events", "j1")
    assert [event.id for event in found] == ["1", "2", "3", "4", "5", "6"]
    assert isinstance(found[-1], OutcomeEvent)


def test_a_wait_ends_with_the_job(shell: type[Any]) -> None:
    looks = [[json_answer(job_json("PROCESSING"))], [], [json_answer(job_json("COMPLETED"))]]
    with BreakingServer(one_after_another(*looks)) as server:
        assert call(shell, server.url, "wait", "j1", 30).state == "COMPLETED"


def test_a_list_is_a_stream_of_pages(shell: type[Any]) -> None:
    pages = [{"items": [job_json(job_id="a")], "next_cursor": "n"}, {"items": [job_json(job_id="b")]}]
    with BreakingServer(one_after_another(*([json_answer(page)] for page in pages))) as server:
        assert [job.job_id for job in call(shell, server.url, "jobs", state="FAILED")] == ["a", "b"]


def test_a_download_that_is_cut_off_goes_on(shell: type[Any], tmp_path: Path) -> None:
    def serve(received: Received) -> Iterable[bytes]:
        start = int(received.headers.get("range", "bytes=0-")[6:-1])
        if not start:
            return [answer(CONTENT[:1_500_000], content_type="x/y", length=len(CONTENT))]
        whole = answer(CONTENT[start:], 206)
        return [whole.replace(b"\r\n", f"\r\nContent-Range: bytes {start}-{len(CONTENT) - 1}/*\r\n".encode(), 1)]

    file = File("x.bin", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "/v1/jobs/j1/files/x")
    with BreakingServer(serve) as server:
        assert call(shell, server.url, "download", file, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_an_upload_is_streamed_from_its_file(shell: type[Any], tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(CONTENT)
    stored = {"upload_id": "u1", "claim": {"uri": "u", "sha256": "s", "size": len(CONTENT)}}
    with BreakingServer(one_after_another([json_answer(stored, 201)])) as server:
        assert call(shell, server.url, "upload", tmp_path / "x.bin").claim.size == len(CONTENT)
    assert server.requests[0].body == CONTENT
    assert "transfer-encoding" not in server.requests[0].headers


def test_an_address_where_nothing_listens_is_named(shell: type[Any]) -> None:
    with BreakingServer(one_after_another()) as server:
        url = server.url
    with pytest.raises(errors.Unreachable, match="SLUICE_GATEWAY_URL"):
        call(shell, url, "job", "j1")


def test_a_reader_that_leaves_a_stream_closes_its_connection() -> None:
    def serve(received: Received) -> Iterable[bytes]:
        yield STREAM_HEAD + b'id: 1\nevent: progress\ndata: {"job_id": "j1"}\n\n'

    async def leave(url: str) -> None:
        async with AsyncClient(url) as client, aclosing(client.events()) as events:
            async for _ in events:
                break

    with BreakingServer(serve) as server:
        with Client(server.url) as client:
            for _ in client.events():
                break
        asyncio.run(leave(server.url))
        assert all(received.gone.wait(10) for received in server.requests)
    assert len(server.requests) == 2


def test_a_forked_process_makes_connections_of_its_own() -> None:
    with BreakingServer(lambda received: [json_answer(job_json())]) as server, Client(server.url) as client:
        client.job("j1")
        before = client._http
        child = os.fork()
        if child == 0:
            os._exit(0 if client._http is not before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert client._http is before


def test_an_error_names_its_cause(shell: type[Any]) -> None:
    with pytest.raises(errors.Unreachable) as raised:
        call(shell, "http://127.0.0.1:1", "job", "j1")
    assert type(raised.value.__cause__).__name__ == "ConnectError"


def test_the_environment_has_the_address_and_the_token(monkeypatch: pytest.MonkeyPatch, shell: type[Any]) -> None:
    with BreakingServer(one_after_another([json_answer(job_json())])) as server:
        monkeypatch.setenv("SLUICE_GATEWAY_URL", server.url)
        monkeypatch.setenv("SLUICE_GATEWAY_TOKEN", "slt_env")
        with Client() as client:
            client.job("j1")
    assert server.requests[0].headers["authorization"] == "Bearer slt_env"
    monkeypatch.delenv("SLUICE_GATEWAY_URL")
    with pytest.raises(UsageError, match="SLUICE_GATEWAY_URL"):
        shell()


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(cls: type[Any]) -> dict[str, list[inspect.Parameter]]:
        found = {name: value for name, value in vars(cls).items() if inspect.isfunction(value) and name[0] != "_"}
        return {name: list(inspect.signature(value).parameters.values()) for name, value in found.items()}

    sync, asynchronous = methods(Client), methods(AsyncClient)
    assert sync.pop("close") == asynchronous.pop("aclose")
    assert sync == asynchronous
