"""A child has several versions of a processor: each job runs with one, and its result says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from processors.policy import Batch, Limits, Policy, Retry
from processors.rollout import Rollout, percentile_of
from schemas.errors import ConnectionFailed
from schemas.ids import new_id
from streams.worker.protocol import Flag
from tests.harness.executor_kit import Kit, Upper


class Second(Upper):
    version, model_sha256 = "8", "ab" * 32


def kit_with(path: Path, *, threads: int = 0, percent: float = 50.0, second: Upper | None = None) -> Kit:
    first = Upper(Policy(batch=Batch(8), threads=threads))
    second = second or Second(Policy(batch=Batch(8), threads=threads))
    return Kit(first, path, (second,), Rollout("7", (("8", percent),)))


@pytest.fixture(params=[0, 2], ids=["in the device's thread", "with CPU threads"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Kit:
    return kit_with(tmp_path, threads=request.param)


def version(kit: Kit, slot: int) -> str:
    return str(kit.result(slot)["result"]["model_version"])


def test_a_pinned_job_runs_with_exactly_that_version(kit: Kit) -> None:
    kit.send(*[kit.request(str(n), model_version="8" if n % 2 else "7") for n in range(6)])
    kit.work()
    assert [version(kit, slot) for slot in range(6)] == ["7", "8"] * 3
    assert sorted(kit.processor.ran) == ["0", "2", "4"]
    assert sorted(kit.others[0].ran) == ["1", "3", "5"]


def test_the_result_names_the_weights_of_the_version_that_ran(kit: Kit) -> None:
    kit.send(kit.request("a", model_version="7"), kit.request("b", model_version="8"))
    kit.work()
    assert [kit.result(slot)["result"]["model_sha256"] for slot in (0, 1)] == [None, "ab" * 32]


def test_other_jobs_are_distributed_by_their_ids(kit: Kit) -> None:
    jobs = [new_id() for _ in range(20)]
    kit.send(*[kit.request("x", job_id=job) for job in jobs])
    kit.work()
    assert [version(kit, slot) for slot in range(20)] == ["8" if percentile_of(job) < 50 else "7" for job in jobs]


def test_a_version_that_is_not_loaded_fails_its_job_at_once_and_names_those_that_are(kit: Kit) -> None:
    kit.send(kit.request("a", model_version="9"), kit.request("b", model_version="8"))
    kit.work()
    result = kit.result(0)["result"]
    assert (result["disposition"], result["error"]["code"]) == ("failed", "MODEL_NOT_FOUND")
    assert "'9'; this worker has 7, 8." in result["error"]["message"]
    assert kit.code(1) is None


def test_a_job_can_be_pinned_to_the_only_version(tmp_path: Path) -> None:
    kit = Kit(Upper(), tmp_path)
    kit.send(kit.request("a", model_version="7"), kit.request("b", model_version="8"))
    kit.work()
    assert [kit.code(slot) for slot in (0, 1)] == [None, "MODEL_NOT_FOUND"]


def test_a_version_without_a_share_runs_jobs_that_ask_for_it(tmp_path: Path) -> None:
    kit = kit_with(tmp_path, percent=0.0)
    kit.send(*[kit.request(str(n)) for n in range(10)], kit.request("pinned", model_version="8"))
    kit.work()
    assert [version(kit, slot) for slot in range(11)] == ["7"] * 10 + ["8"]


def test_each_version_has_batches_limits_and_retries_of_its_own(tmp_path: Path) -> None:
    class Flaky(Second):
        def run(self, items: object) -> list[str]:
            raise ConnectionFailed("not now")

    policy = Policy(batch=Batch(2), limits=Limits(hard_ms=50), retry=Retry(never=frozenset({ConnectionFailed.code})))
    kit = kit_with(tmp_path, second=Flaky(policy))
    kit.send(*[kit.request(str(n), model_version="8") for n in range(3)], kit.request("a", model_version="7"))
    kit.work()
    assert {kit.result(slot)["result"]["disposition"] for slot in range(3)} == {"failed"}
    assert sorted(kit.result(slot)["result"]["timings"]["batch_size"] for slot in range(4)) == [1, 1, 2, 2]
    assert {limit for slots, limit in kit.channel.begun if 3 in slots} == {None}
    assert {limit for slots, limit in kit.channel.begun if 0 in slots} == {None, 50}


def test_a_job_that_its_parent_rejects_is_answered_by_the_version_that_it_ran_with(kit: Kit) -> None:
    kit.send(kit.request("a", model_version="8"), flags=Flag.REJECTED, error_code=b"TIMEOUT_ERROR")
    kit.send(kit.request("b", model_version="9"), flags=Flag.REJECTED, error_code=b"TIMEOUT_ERROR")
    kit.work()
    assert [version(kit, slot) for slot in (0, 1)] == ["8", "7"]
    assert kit.result(0)["result"]["model_sha256"] == "ab" * 32
