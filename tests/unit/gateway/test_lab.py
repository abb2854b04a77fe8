"""Leases and results of lab machines over HTTP: what a machine may do, and what one that lies can't."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.claim_store import UPLOADED
from connectors.gateway_client.access import GatewayAccess
from connectors.gateway_client.client import GatewayClient
from connectors.gateway_client.files import GatewayFiles
from connectors.gateway_client.wire import PROTOCOL, to_text
from connectors.lease_store import LARGEST_COUNT, Grant
from gateway.app import create_app
from gateway.lab_service import THREADS
from gateway.ports import Ports
from gateway.principal import Principal
from schemas.avsc import self_contained
from schemas.errors import Conflict, InvalidInput, UnknownProcessor, Unreachable, UsageError
from schemas.ids import new_id
from schemas.records import Coordinates, ErrorInfo, Progress
from streams import wiring
from streams.admin import tail
from tests.harness.gateway_app import memory_settings
from tests.harness.waiting import wait_until
from tests.unit.gateway.lab_kit import FOREIGN, Laboratory, Machine, laboratory


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture
def machine(lab: Laboratory) -> Iterator[Machine]:
    with closing(Machine(lab)) as made:
        yield made


@pytest.fixture
def other(lab: Laboratory) -> Iterator[Machine]:
    with closing(Machine(lab, "box-2")) as made:
        yield made


def results(lab: Laboratory, job_id: str) -> int:
    """Return how many results of a job are in the log."""
    return sum(record.headers.get("sluice-job") == job_id for record in tail.last(lab.settings, "results.echo", 50))


def test_a_result_is_published_once_however_often_it_is_handed_in(lab: Laboratory, machine: Machine) -> None:
    job = lab.submit()
    grant = machine.claim()
    assert grant.job_id == job
    value = machine.result(grant)
    machine.hand_in(grant, value)
    machine.hand_in(grant, value)
    wait_until(lambda: lab.state(job) == "COMPLETED", lambda: lab.state(job))
    assert not machine.hand_in(grant, value)  # the run has ended
    assert results(lab, job) == 1


def test_a_result_of_a_settled_lease_is_answered_as_the_first_time(lab: Laboratory, machine: Machine) -> None:
    job = lab.submit()
    grant = machine.claim()
    value = machine.result(grant, disposition="retry", retry_in_ms=0, error=ErrorInfo("CONNECTION_ERROR", "away"))
    assert machine.hand_in(grant, value)
    wait_until(lambda: lab.state(job) == "RETRYING", lambda: lab.state(job))
    assert machine.hand_in(grant, value)
    assert results(lab, job) == 1


def test_no_other_machine_can_hand_in_renew_or_release(lab: Laboratory, machine: Machine, other: Machine) -> None:
    lab.submit()
    grant = machine.claim()
    with pytest.raises(Conflict):
        other.hand_in(grant, other.result(grant))
    with pytest.raises(Conflict):
        machine.hand_in(grant, machine.result(grant), fence=grant.fence + 1)
    assert other.leases.heartbeat("box-2", [grant.hold], 60.0).lost == {grant.hold.key}
    assert not other.leases.release(grant.job_id, grant.run, grant.fence, started=False)
    assert machine.hand_in(grant, machine.result(grant))


FORGERIES: dict[str, Callable[[Machine, Grant], bytes]] = {
    "another job": lambda m, g: m.result(g, replace(m.header(g), job_id=new_id())),
    "another run": lambda m, g: m.result(g, replace(m.header(g), run=1)),
    "another attempt": lambda m, g: m.result(g, replace(m.header(g), attempt=2)),
    "another tenant": lambda m, g: m.result(g, replace(m.header(g), tenant="b")),
    "a callback": lambda m, g: m.result(g, replace(m.header(g), callback_url="http://10.0.0.1/")),
    "a failure with a callback": lambda m, g: m.result(
        g, replace(m.header(g), callback_url="http://10.0.0.1/", input_sha256=""), disposition="failed"
    ),
    "an execution without a fence": lambda m, g: m.result(g, execution=0),
    "another worker": lambda m, g: m.result(g, worker_id="box-2"),
    "another request": lambda m, g: m.result(g, request_coordinates=Coordinates("requests.echo", 0, 10**6)),
    "no request": lambda m, g: m.result(g, request_coordinates=None),
    "a file of someone else": lambda m, g: m.result(g, output_refs=[FOREIGN]),
    "no result": lambda m, g: g.value,
    "no Avro": lambda m, g: b"\0\0\0\0\1",
    "nothing": lambda m, g: b"",
    "a file that another tenant uploaded": lambda m, g: m.result(g, output_refs=[m.stored_elsewhere()]),
    "a retry in 285 million years": lambda m, g: m.retry(g, 2**63 - 1),
    "a retry in two weeks": lambda m, g: m.retry(g, 14 * 86_400_000),
    "a retry before now": lambda m, g: m.retry(g, -1),
}


@pytest.fixture(scope="module")
def held(lab: Laboratory) -> Iterator[tuple[Machine, Grant]]:
    lab.submit()
    with closing(Machine(lab, "liar")) as machine:
        yield machine, machine.claim()


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_result_that_is_not_of_the_leased_job_is_refused(
    lab: Laboratory, held: tuple[Machine, Grant], forgery: str
) -> None:
    machine, grant = held
    before = tail.last(lab.settings, "results.echo", 50)
    with pytest.raises(InvalidInput):
        machine.hand_in(grant, FORGERIES[forgery](machine, grant))
    assert tail.last(lab.settings, "results.echo", 50) == before


def test_a_dead_letter_without_a_result_is_refused_and_the_machine_still_holds_the_job(
    held: tuple[Machine, Grant],
) -> None:
    machine, grant = held
    with pytest.raises(InvalidInput, match="no result"):
        machine.hand_in(grant, b"", dead_reason="WORKER_LOST", dead_message="m")
    assert machine.leases.heartbeat("liar", [grant.hold], 60.0).renewed == {grant.hold.key}


def test_a_machine_that_counts_its_executions_to_the_end_of_the_range_stops_at_the_limit(
    lab: Laboratory, machine: Machine
) -> None:
    lab.submit()
    grant = machine.claim()
    forged = grant.hold._replace(execution=2**31 - 1, crashes=2**31 - 1)
    assert machine.leases.heartbeat("box-1", [forged], 60.0).renewed == {forged.key}
    with closing(wiring.lease_store(lab.settings)) as leases:
        found = leases.find(grant.job_id, grant.run)
        leases.release(grant.job_id, grant.run, grant.fence, started=True)
    assert found is not None
    assert found.execution == LARGEST_COUNT
    again = machine.claim()
    assert (again.execution, again.crashes) == (LARGEST_COUNT, LARGEST_COUNT)
    assert machine.hand_in(again, machine.result(again))


def test_a_result_claims_files_that_its_machine_uploaded_and_no_size_of_its_own(
    lab: Laboratory, machine: Machine
) -> None:
    job = lab.submit()
    grant = machine.claim()
    claim = GatewayFiles(machine.client, "box-1", grant.job_id, grant.run).put_bytes(b"a mask")
    with pytest.raises(InvalidInput):
        machine.hand_in(grant, machine.result(grant, output_refs=[replace(claim, size=claim.size + 1)]))
    assert machine.hand_in(grant, machine.result(grant, output_refs=[claim]))
    wait_until(lambda: lab.state(job) == "COMPLETED", lambda: lab.state(job))
    assert list(wiring.object_store(lab.settings).named(UPLOADED)) == []


def progress(lab: Laboratory, machine: Machine, **fields: Any) -> int:
    typed = wiring.codec(lab.settings).typed(Progress, "progress-value", self_contained("Progress"))
    record = to_text(typed.encode(Progress(**fields)))
    return int(
        machine.client.call("POST", "/progress", {"worker_id": machine.worker_id, "records": [record]})["published"]
    )


def test_progress_counts_for_the_holder_alone(lab: Laboratory, machine: Machine, other: Machine) -> None:
    lab.submit()
    grant = machine.claim()
    named = {"job_id": grant.job_id, "run": 0, "attempt": 1, "processor": "echo", "stage": "half", "sequence": 1}
    about = {**named, "execution": grant.execution, "at": grant.accepted_at}
    assert progress(lab, machine, worker_id="box-1", **about) == 1
    assert progress(lab, other, worker_id="box-2", **about) == 0
    assert progress(lab, machine, worker_id="box-2", **about) == 0
    assert progress(lab, machine, worker_id="box-1", **about | {"job_id": new_id()}) == 0
    assert progress(lab, machine, worker_id="box-1", **about | {"execution": 2**31 - 1}) == 0
    for job_id in ("x", grant.job_id.upper()):
        with pytest.raises(InvalidInput):
            progress(lab, machine, worker_id="box-1", **about | {"job_id": job_id})
    machine.hand_in(grant, machine.result(grant))


def test_sixty_idle_machines_wait_without_a_thread_each_and_one_gets_the_job(lab: Laboratory) -> None:
    async def all_wait() -> tuple[int, list[int]]:
        async with httpx.AsyncClient(
            base_url=lab.url, timeout=60.0, limits=httpx.Limits(max_connections=None)
        ) as client:
            asks = [
                asyncio.create_task(
                    client.post(
                        "/v1/lab/leases/claim",
                        json={"processor": "echo", "worker_id": f"idle-{n}", "lease_s": 60, "wait_s": 3},
                    )
                )
                for n in range(60)
            ]
            await asyncio.sleep(0.5)
            waiting = sum("lab" in thread.name for thread in threading.enumerate())
            await asyncio.to_thread(lab.submit)
            answers = await asyncio.gather(*asks)
            return waiting, [len(answer.json()["leases"]) for answer in answers]

    waiting, granted = asyncio.run(all_wait())
    assert sorted(granted) == [0] * 59 + [1]
    assert waiting <= 2 * THREADS + 1


def test_a_job_that_was_granted_to_a_machine_that_hung_up_is_another_machines_at_once(
    lab: Laboratory, machine: Machine
) -> None:
    async def hang_up() -> None:
        async with httpx.AsyncClient(base_url=lab.url) as client:
            body = {"processor": "echo", "worker_id": "gone", "lease_s": 600, "wait_s": 30}
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/v1/lab/leases/claim", json=body, timeout=0.3)

    asyncio.run(hang_up())
    job = lab.submit()
    assert machine.claim().job_id == job


def test_a_worker_that_does_not_fit_is_refused_with_the_next_step(lab: Laboratory, machine: Machine) -> None:
    def join(processor: str, protocol: int = PROTOCOL) -> Any:
        return machine.client.call("POST", "/join", {"processor": processor, "protocol": protocol, "version": "0"})

    assert [name for name, _ in join("echo")["topics"]] == ["requests.echo", "requests.echo.bulk"]
    with pytest.raises(UsageError, match="kept by offset") as offset:
        join("embed")
    assert "SLUICE_LEASED=embed" in str(offset.value.next_step)
    with pytest.raises(UnknownProcessor):
        join("ecko")
    with pytest.raises(UsageError, match="version 0 of the lab protocol"):
        join("echo", 0)


class Tokens:
    """Two tokens of lab machines, and one of a backend."""

    async def principal(self, token: str) -> Principal | None:
        scope, _, tenant = token.partition("-")
        return Principal(tenant, frozenset({scope}), token)


def test_a_lease_names_the_token_so_that_no_other_can_act_for_its_worker(tmp_path: Path) -> None:
    scopes = frozenset({"work"})
    with closing(Ports(memory_settings(tmp_path))) as ports:
        first, second = (ports.lab.worker(Principal("a", scopes, name), "box") for name in ("lab1", "lab2"))
        every = ports.lab.worker(Principal("*", scopes, "lab3"), "box")
    assert (first.owner, second.owner) == ("a:lab1/box", "a:lab2/box")
    assert (first.tenant, every.tenant) == ("a", None)


def test_a_machine_needs_a_token_with_the_scope_work(tmp_path: Path) -> None:
    async def asked() -> list[tuple[int, Any]]:
        settings = memory_settings(tmp_path, leased=("echo",))
        with closing(Ports(settings)) as ports:
            ports.authenticator = Tokens()
            app = create_app(ports)
            claims = {"processor": "echo", "worker_id": "box", "lease_s": 60}
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
            ):
                posts = [("work-a", claims), ("work-*", claims), ("submit-a", claims)]
                answers = [
                    await client.post("/v1/lab/leases/claim", json=body, headers={"Authorization": f"Bearer {token}"})
                    for token, body in posts
                ]
                return [(answer.status_code, answer.json()) for answer in answers]

    (own, _), (every, _), (refused, problem) = asyncio.run(asked())
    assert (own, every, refused) == (200, 200, 403)
    assert problem["code"] == "FORBIDDEN"


def test_a_gateway_that_is_not_there_is_unreachable_and_says_where() -> None:
    with closing(GatewayClient(GatewayAccess("http://127.0.0.1:9"))) as client, pytest.raises(Unreachable) as raised:
        client.call("GET", "")
    assert "http://127.0.0.1:9" in raised.value.message
