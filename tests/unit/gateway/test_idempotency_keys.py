"""A user's key takes no id of a job or batch that the gateway derives a key for."""

from __future__ import annotations

from pathlib import Path

import httpx

from gateway.ports import Ports
from tests.unit.gateway.uploads_kit import run


def test_no_key_of_a_user_takes_the_place_of_a_job_in_a_batch(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> None:
        body, key = {"processor": "echo", "inputs": [{"message": "a"}]}, {"Idempotency-Key": "night"}
        batch = (await client.post("/v1/batches", json=body, headers=key)).json()
        taken = {"Idempotency-Key": f"{batch['batch_id']}/0"}
        job = await client.post("/v1/jobs", json={"processor": "echo", "input": {"message": "other"}}, headers=taken)
        assert job.status_code == 202
        assert [job.json()["job_id"]] != batch["job_ids"]
        again = await client.post("/v1/batches", json=body, headers=key)
        assert (again.status_code, again.json()["job_ids"]) == (200, batch["job_ids"])

    run(tmp_path, use)
