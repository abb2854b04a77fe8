"""Outputs of a processor with `memoize` are reused for equal input, model and code, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.memos import MEMOS
from connectors.objects import ObjectStore
from processors.policy import Batch, Policy
from schemas.errors import StoreUnavailable
from schemas.records import Claim
from streams.worker.protocol import Flag
from tests.harness.executor_kit import Kit, Upper

MEMOIZED = Policy(batch=Batch(4), memoize=True)


class Upgraded(Upper):
    version = "8"


class Retrained(Upper):
    model_sha256 = "fe" * 32


@pytest.fixture
def files() -> ObjectStore:
    return ObjectStore("memory://")


@pytest.fixture(params=[0, 2], ids=["inline", "pipelined"])
def kit(request: pytest.FixtureRequest, tmp_path: Path, files: ObjectStore) -> Callable[..., Kit]:
    """Make an executor on the same files as every other one of the test, as another worker would be."""
    policy = replace(MEMOIZED, threads=request.param)
    return lambda processor=Upper: Kit(processor(policy), tmp_path, files=files)


def run(kit: Kit, message: str = "a", **header: Any) -> dict[str, Any]:
    kit.send(kit.request(message, **header))
    kit.work()
    return kit.result(0)


def job(n: int) -> str:
    return f"01900000-0000-7000-8000-{n:012d}"


def test_the_same_input_under_another_id_runs_nothing_and_its_receipt_names_the_first_run(
    kit: Callable[..., Kit],
) -> None:
    first, second = kit(), kit()
    made = run(first, "SAVE", job_id=job(1), run=2)
    again = run(second, "SAVE", job_id=job(2))
    assert (first.processor.ran, second.processor.ran) == (["SAVE"], [])
    assert again["output"] == made["output"]
    assert again["result"]["output_refs"] == made["result"]["output_refs"] != []
    assert (made["result"]["reused_from"], again["result"]["reused_from"]) == (None, f"{job(1)}:2")
    assert (again["header"]["job_id"], again["result"]["timings"]["run_ms"]) == (job(2), 0.0)
    assert again["result"]["code_version"] == made["result"]["code_version"] != ""


def test_a_run_again_of_the_same_job_and_run_reuses_without_naming_itself(kit: Callable[..., Kit]) -> None:
    run(kit(), job_id=job(1))
    later = kit()
    assert run(later, job_id=job(1))["result"]["reused_from"] is None
    assert later.processor.ran == []


@pytest.mark.parametrize(
    ("other", "message", "header"),
    [
        (Upper, "b", {}),
        (Upper, "a", {"tenant": "another"}),
        (Upper, "a", {"input_sha256": "00" * 32}),
        (Upgraded, "a", {}),
        (Retrained, "a", {}),
    ],
    ids=["input", "tenant", "a wrong hash of the input", "version", "weights"],
)
def test_nothing_is_reused_for_another(
    kit: Callable[..., Kit], other: type[Upper], message: str, header: dict[str, Any]
) -> None:
    run(kit())
    later = kit(other)
    run(later, message, **header)
    assert later.processor.ran == [message]


def test_a_wrong_hash_stores_nothing_under_the_hash_that_it_claims(kit: Callable[..., Kit]) -> None:
    sha256 = kit().codec.decode(kit().request("b"))["header"]["input_sha256"]
    run(kit(), "a", input_sha256=sha256)
    later = kit()
    assert run(later, "b")["output"]["message"] == "B"


def test_a_failure_is_not_kept(kit: Callable[..., Kit], files: ObjectStore) -> None:
    run(kit(), "bad in run")
    run(kit(), "HUGE")  # ran well, but its output is too large
    assert list(files.named(MEMOS)) == []


def test_a_file_that_is_gone_makes_the_job_run(kit: Callable[..., Kit], files: ObjectStore) -> None:
    made = run(kit(), "SAVE")
    files.delete(made["result"]["output_refs"][0]["sha256"])
    later = kit()
    again = run(later, "SAVE")
    assert later.processor.ran == ["SAVE"]
    assert files.has(Claim(**again["result"]["output_refs"][0]))


def test_a_file_in_the_trash_is_taken_out_of_it(kit: Callable[..., Kit], files: ObjectStore) -> None:
    run(kit(), "SAVE")
    (stored,) = files.contents()
    assert files.retire(stored)
    later = kit()
    run(later, "SAVE")
    assert later.processor.ran == []
    assert [each.sha256 for each in files.contents()] == [stored.sha256]


def test_a_self_test_runs_although_its_output_is_stored(kit: Callable[..., Kit]) -> None:
    run(kit())
    later = kit()
    later.send(later.request("a"), flags=Flag.TEST | Flag.ISOLATED)
    later.work()
    assert later.processor.ran == ["a"]


def test_a_memo_that_is_too_old_is_not_used(kit: Callable[..., Kit]) -> None:
    run(kit())
    later = kit()
    made = later.executor._runner.models.default.memo
    assert made is not None
    made._oldest = timedelta(0)
    run(later)
    assert later.processor.ran == ["a"]


@pytest.mark.parametrize("fault", ["broken", "away"])
def test_a_memo_that_cant_be_read_makes_the_job_run(
    kit: Callable[..., Kit], files: ObjectStore, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(kit())
    (name, _) = next(iter(files.named(MEMOS)))
    later = kit()
    if fault == "broken":
        files.put_named(name, later.request("a")[:30])
    else:
        monkeypatch.setattr(files, "get_named", _away)
        monkeypatch.setattr(files, "put_named", _away)
    assert run(later)["result"]["disposition"] == "succeeded"
    assert later.processor.ran == ["a"]


def test_a_memo_holds_no_field_of_the_job_but_whose_output_it_is(kit: Callable[..., Kit], files: ObjectStore) -> None:
    maker = kit()
    run(maker, case_id="4711", callback_url="https://backend.example/", labels={"ward": "3"})
    (name, _) = next(iter(files.named(MEMOS)))
    header = maker.codec.decode(files.get_named(name) or b"")["header"]
    assert (header["case_id"], header["callback_url"], header["labels"]) == (None, None, {})


def test_a_processor_without_memoize_neither_reads_nor_stores_one(tmp_path: Path, files: ObjectStore) -> None:
    for _ in range(2):
        plain = Kit(Upper(), tmp_path, files=files)
        run(plain)
        assert plain.processor.ran == ["a"]
    assert list(files.named(MEMOS)) == []


def _away(*_: object) -> None:
    raise StoreUnavailable("The store is away.")


def test_tenants_with_the_same_input_keep_their_own_outputs(kit: Callable[..., Kit]) -> None:
    run(kit(), tenant="one", job_id=job(1))
    run(kit(), tenant="two", job_id=job(2))
    later = kit()
    assert run(later, tenant="one")["result"]["reused_from"] == f"{job(1)}:0"
    assert later.processor.ran == []
