"""Devices are believed only once a kernel has run on them."""

from __future__ import annotations

import pytest
import torch

from processors.devices import cuda_fault, pick_device
from schemas.errors import StartupError

# No machine has this many GPUs, so that these tests say the same with and without one.
BEYOND = "cuda:99"


def test_cpu_is_taken_when_asked_for() -> None:
    assert pick_device("cpu").name == "cpu"


def test_auto_takes_a_gpu_that_works_or_says_why_it_does_not() -> None:
    picked = pick_device("auto")
    fault = cuda_fault("cuda:0")
    assert picked.name == ("cpu" if fault else "cuda:0")
    assert picked.warning == (fault is not None)
    assert fault is None or fault in picked.reason


def test_a_gpu_that_is_not_there_has_a_fault_in_one_line() -> None:
    fault = cuda_fault(BEYOND)
    assert fault is not None
    assert "\n" not in fault


def test_a_gpu_asked_for_by_name_must_work() -> None:
    with pytest.raises(StartupError, match=f"{BEYOND} was asked for"):
        pick_device(BEYOND)


def test_being_called_available_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cuda_fault(BEYOND) is not None


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "cpu\n"])
def test_a_name_that_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(StartupError, match="is no device"):
        pick_device(name)
