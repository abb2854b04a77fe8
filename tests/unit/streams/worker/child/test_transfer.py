"""Messages between the child and its helpers: everything arrives as it was sent, bit for bit."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streams.worker.child import transfer
from streams.worker.child.transfer import ALIGNMENT, LEAST_SHARED, Connection


def no_context(*_: Any) -> Any:
    raise AssertionError("no context is sent")


@pytest.fixture(params=["memory without a name", "a deleted file"])
def ends(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Connection]]:
    if request.param == "a deleted file":
        monkeypatch.delattr(os, "memfd_create")
    made = [Connection(end, tmp_path, no_context, no_context) for end in socket.socketpair()]
    yield made
    assert list(tmp_path.iterdir()) == []
    for end in made:
        end.close()


def sent(ends: list[Connection], message: Any) -> Any:
    ends[0].send(message)
    return ends[1].receive()


@pytest.mark.parametrize("count", [0, 3, LEAST_SHARED])
def test_arrays_arrive_with_their_bits_and_may_be_changed(ends: list[Connection], count: int) -> None:
    array = np.random.default_rng(1).normal(size=count).astype(np.float32)
    array[: min(1, count)] = np.nan
    plain, other = sent(ends, [array, {"n": count, "again": array}])
    assert plain.tobytes() == array.tobytes()
    assert other["again"] is plain
    assert plain.ctypes.data % ALIGNMENT == 0 or plain.nbytes < LEAST_SHARED
    plain += 1


TENSORS = {
    "plain": torch.arange(60_000.0).reshape(3, 20_000),
    "small": torch.tensor([1, 2, 3]),
    "no elements": torch.zeros(0, 3),
    "one number": torch.tensor(7.5, dtype=torch.float64),
    "bfloat16": torch.arange(40_000.0).to(torch.bfloat16),
    "booleans": torch.arange(50_000) % 3 == 0,
    "channels last": torch.arange(96_000.0).reshape(2, 3, 10, 40, 40).to(memory_format=torch.channels_last_3d),
    "transposed": torch.arange(60_000.0).reshape(200, 300).t(),
    "a part": torch.arange(60_000.0)[100:140],
    "conjugated": torch.complex(torch.arange(9_000.0), torch.ones(9_000)).conj(),
    "of a network": torch.nn.functional.relu(torch.ones(30_000, requires_grad=True)),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_arrive_with_their_bits_their_type_and_their_strides(ends: list[Connection], name: str) -> None:
    tensor = TENSORS[name]
    arrived = sent(ends, ("x", tensor))[1]
    assert (arrived.dtype, arrived.shape, arrived.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
    assert torch.equal(arrived, tensor)
    arrived[...] = 0


def test_a_small_part_of_a_large_tensor_does_not_take_it_along(ends: list[Connection]) -> None:
    large = torch.zeros(1_000_000)
    assert sent(ends, large[:10]).untyped_storage().nbytes() == 40


def test_messages_of_any_size_arrive_in_order(ends: list[Connection]) -> None:
    for message in ([np.zeros(size, np.uint8) for size in (0, 1, LEAST_SHARED, LEAST_SHARED + 1)], b"", "text"):
        found = sent(ends, message)
        assert str(found) == str(message)


def test_the_end_of_the_other_process_is_an_end_of_file(ends: list[Connection]) -> None:
    ends[0].send("last")
    ends[0].end()
    assert ends[1].receive() == "last"
    with pytest.raises(EOFError):
        ends[1].receive()


def test_memory_is_returned_when_an_object_can_not_be_sent(ends: list[Connection]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Exception, match="pickle"):
        ends[0].send([np.zeros(LEAST_SHARED, np.uint8), lambda: None])
    assert len(os.listdir("/proc/self/fd")) == before


def test_buffers_do_not_overlap() -> None:
    assert list(transfer._places([1, 64, 65, 0, 3])) == [0, 64, 128, 256, 256, 320]
