"""Lab machines reuse outputs of the same tenant, input, model and code, and can store none that is not their job's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway_client.files import GatewayFiles
from connectors.lease_store import Grant
from connectors.memos import memo_key, memo_name
from schemas.errors import InvalidInput
from schemas.records import Claim, JobHeader
from streams import wiring
from tests.harness.waiting import wait_until
from tests.unit.gateway.lab_kit import FOREIGN, Laboratory, Machine, laboratory

MADE_BY: dict[str, Any] = {"model_version": "1", "model_sha256": "ab" * 32, "code_version": "c"}
KEY = memo_key("echo", "1", "ab" * 32, "c")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture
def machine(lab: Laboratory) -> Iterator[Machine]:
    with closing(Machine(lab)) as made:
        yield made


def files(machine: Machine, grant: Grant) -> GatewayFiles:
    return GatewayFiles(machine.client, machine.worker_id, grant.job_id, grant.run)


def bare(header: JobHeader) -> JobHeader:
    return JobHeader(
        header.job_id, header.processor, header.created_at, header.input_sha256, run=header.run, tenant=header.tenant
    )


def memo(machine: Machine, grant: Grant, header: JobHeader | None = None, **changes: Any) -> bytes:
    return machine.result(grant, header or bare(machine.header(grant)), **MADE_BY | changes)


def name(machine: Machine, grant: Grant, key: str = KEY) -> str:
    header = machine.header(grant)
    return memo_name(header.tenant, header.input_sha256, key)


def finish(machine: Machine, grant: Grant, **changes: Any) -> None:
    assert machine.hand_in(grant, machine.result(grant, **MADE_BY | changes))


def stored(lab: Laboratory, machine: Machine, message: str) -> tuple[Claim, str]:
    """Run a job that saves a file, and store its output to be reused; return the file and the outcome's key."""
    job = lab.submit(message)
    grant = machine.claim()
    claim = files(machine, grant).put_bytes(message.encode())
    files(machine, grant).put_named(name(machine, grant), memo(machine, grant, output_refs=[claim]))
    finish(machine, grant, output_refs=[claim])
    return claim, f"{job}:0"


def test_an_output_is_found_for_another_job_and_its_files_may_be_claimed(lab: Laboratory, machine: Machine) -> None:
    claim, first = stored(lab, machine, "one")
    again = lab.submit("one")
    grant = machine.claim()
    found = files(machine, grant).get_named(name(machine, grant))
    assert found is not None
    assert files(machine, grant).get_named(name(machine, grant, "0" * 32)) is None
    finish(machine, grant, output_refs=[claim], reused_from=first)
    wait_until(lambda: lab.state(again) == "COMPLETED", lambda: lab.state(again))
    with wiring.job_store(lab.settings) as jobs:
        view = jobs.job(again)
    assert view is not None
    assert view.receipt is not None
    assert view.receipt.reused_from == first


@pytest.mark.parametrize(
    "changes",
    [{"tenant": "another"}, {"message": "else"}],
    ids=["tenant", "input"],
)
def test_another_tenants_or_inputs_output_is_not_found(
    lab: Laboratory, machine: Machine, changes: dict[str, Any]
) -> None:
    message = f"of one {changes}"
    _, first = stored(lab, machine, message)
    lab.submit(**{"message": message, **changes})
    grant = machine.claim()
    assert files(machine, grant).get_named(name(machine, grant)) is None
    with pytest.raises(InvalidInput):
        finish(machine, grant, reused_from=first)
    finish(machine, grant)


def test_a_reused_result_names_its_run_and_claims_no_file_besides(lab: Laboratory, machine: Machine) -> None:
    claim, first = stored(lab, machine, "two")
    lab.submit("two")
    grant = machine.claim()
    other = machine.stored_elsewhere()
    for lie in (
        {"output_refs": [claim], "reused_from": f"{grant.job_id}:7"},
        {"output_refs": [claim, other], "reused_from": first},
        {"output_refs": [claim]},
    ):
        with pytest.raises(InvalidInput):
            finish(machine, grant, **lie)
    finish(machine, grant, output_refs=[claim], reused_from=first)


def test_an_output_whose_file_is_gone_is_not_found(lab: Laboratory, machine: Machine) -> None:
    claim, _ = stored(lab, machine, "three")
    wiring.object_store(lab.settings).delete(claim.sha256)
    lab.submit("three")
    grant = machine.claim()
    assert files(machine, grant).get_named(name(machine, grant)) is None
    finish(machine, grant)


FORGERIES: dict[str, Callable[[Machine, Grant], bytes]] = {
    "of another job": lambda m, g: memo(m, g, replace(bare(m.header(g)), job_id="0" * 8 + g.job_id[8:])),
    "of another tenant": lambda m, g: memo(m, g, replace(bare(m.header(g)), tenant="another")),
    "with the job's whole header": lambda m, g: memo(m, g, replace(m.header(g), case_id="4711")),
    "a failure": lambda m, g: memo(m, g, disposition="failed"),
    "of other weights": lambda m, g: memo(m, g, model_sha256="cd" * 32),
    "with a file that it did not upload": lambda m, g: memo(m, g, output_refs=[m.stored_elsewhere()]),
    "with a file of the machine": lambda m, g: memo(m, g, output_refs=[FOREIGN]),
    "no result": lambda m, g: g.value,
}


@pytest.fixture(scope="module")
def held(lab: Laboratory) -> Iterator[tuple[Machine, Grant]]:
    lab.submit("forged")
    with closing(Machine(lab, "liar")) as machine:
        yield machine, machine.claim()


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_machine_stores_nothing_but_the_success_of_its_own_job(held: tuple[Machine, Grant], forgery: str) -> None:
    machine, grant = held
    with pytest.raises(InvalidInput):
        files(machine, grant).put_named(name(machine, grant), FORGERIES[forgery](machine, grant))
    assert files(machine, grant).get_named(name(machine, grant)) is None
