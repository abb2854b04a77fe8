"""The gateway keeps its OpenAPI document, and its promises about keys, on a real stack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from gateway import reading
from streams.settings import Settings
from tests.harness.gateway_service import open_gateway, token_for
from tests.harness.schema_run import check_schema

pytestmark = pytest.mark.accept

EXAMPLES = 10_000


def test_ten_thousand_examples_meet_no_fault_and_no_answer_that_is_not_declared(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_WAIT_S", 1.0)  # no job ends here
    total = 0
    with open_gateway(settings, gateway_auth="token") as url:
        token = token_for(settings, "clinic")
        for seed in range(1, 20):
            total += check_schema(url, token, "--max-examples", "250", "--seed", str(seed))
            print(f"examples: {total}")
            if total >= EXAMPLES:
                break
    assert total >= EXAMPLES


def test_one_key_sent_a_hundred_times_by_ten_clients_at_two_gateways_makes_one_job_per_tenant(
    settings: Settings,
) -> None:
    body = {"processor": "echo", "input": {"message": "once"}}

    def client(url: str, token: str) -> list[tuple[int, str]]:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        with httpx.Client(base_url=url, headers=headers) as http:
            answers = [http.post("/v1/jobs", json=body) for _ in range(10)]
            assert http.get(answers[0].headers["location"]).status_code == 200
        return [(answer.status_code, answer.json()["job_id"]) for answer in answers]

    with open_gateway(settings, gateway_auth="token") as first, open_gateway(settings, gateway_auth="token") as second:
        tokens = [token_for(settings, tenant) for tenant in ("clinic", "lab")]
        work = [(url, token) for token in tokens for url in (first, second) * 5]
        with ThreadPoolExecutor(len(work)) as pool:
            found = list(pool.map(lambda each: client(*each), work))
    for of_tenant in (found[:10], found[10:]):
        answers = [answer for each in of_tenant for answer in each]
        assert sorted(status for status, _ in answers) == [200] * 99 + [202]
        assert len({job_id for _, job_id in answers}) == 1
    assert {job_id for _, job_id in found[0]} != {job_id for _, job_id in found[10]}
