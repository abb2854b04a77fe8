"""Duplicates of a processor with `memoize` cost no device, from the submit to the outcome."""

from __future__ import annotations

from streams.testing import Flow
from tests.unit.streams.receipts.conftest import Masker, Submit


def test_the_same_input_under_another_key_runs_nothing_and_its_receipt_names_the_first_job(
    submit: Submit, flow: Flow, masker: Masker
) -> None:
    first, second = submit(idempotency_key="a"), submit(idempotency_key="b")
    made, reused = flow.job(first), flow.job(second)
    assert masker.runs == 1
    assert (reused.state, reused.output, reused.refs) == ("COMPLETED", made.output, made.refs)
    assert made.receipt is not None
    assert reused.receipt is not None
    assert (made.receipt.reused_from, reused.receipt.reused_from) == (None, f"{first}:0")
    assert made.receipt.model_sha256 == reused.receipt.model_sha256 == "ab" * 32
    assert (made.receipt.input_sha256, made.receipt.code_version) == (
        reused.receipt.input_sha256,
        reused.receipt.code_version,
    )


def test_another_tenant_runs_its_own(submit: Submit, masker: Masker) -> None:
    submit(tenant="one")
    submit(tenant="two")
    assert masker.runs == 2
