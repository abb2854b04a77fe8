"""Copies of a batch to its device."""

from __future__ import annotations

import pytest
import torch

from processors.tensors import HostToDevice


def test_on_the_cpu_a_batch_stays_where_it_is() -> None:
    batch = torch.arange(6.0)
    assert HostToDevice("cpu")(batch) is batch


@pytest.mark.gpu
def test_on_cuda_the_kernels_that_follow_wait_for_the_copy() -> None:
    copy = HostToDevice("cuda:0")
    batches = [torch.full((64, 3, 128, 128), float(n)) for n in range(20)]
    sums = [(copied := copy(batch)).double().sum() for batch in batches]
    assert copied.device.type == "cuda"
    assert [float(each) for each in sums] == [float(batch.double().sum()) for batch in batches]


@pytest.mark.gpu
def test_on_cuda_pinned_memory_is_used_as_it_is() -> None:
    batch = torch.arange(1_000.0).pin_memory()
    assert torch.equal(HostToDevice("cuda:0")(batch).cpu(), batch)
