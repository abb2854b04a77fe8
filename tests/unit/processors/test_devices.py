"""Devices are believed only once a kernel has run on them."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from processors.devices import cuda_fault, device_fault, pick_device, register_check
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


def test_a_device_that_does_not_answer_in_time_is_lost() -> None:
    never = threading.Event()
    register_check("hanging", lambda name, settle: None if never.wait(20) else "late")
    fault = device_fault("hanging:0", timeout_s=0.01)
    never.set()
    assert fault == "hanging:0 did not answer within 0.01 s"


def test_whatever_a_check_raises_the_device_is_not_proven() -> None:
    def check(name: str, settle: bool) -> str | None:
        raise OSError(name)

    register_check("raising", check)
    assert device_fault("raising:0") == "OSError"
    assert device_fault("cpu") is None


@pytest.mark.gpu
def test_a_device_side_assert_loses_the_device_for_this_process_only() -> None:
    """In a process of its own, because that one is lost."""
    program = """
import torch
from processors.devices import device_fault, device_in_use
assert device_fault("cuda:0", settle=True) is None
table = torch.zeros(4, device="cuda:0")
try:
    table[torch.tensor([99], device="cuda:0")].sum().item()
except RuntimeError as error:
    print(type(error).__name__)
print(device_fault("cuda:0"), device_fault(device_in_use("cpu"), settle=True), sep="|")
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.count("device-side assert") == 2, found
    assert device_fault("cuda:0", settle=True) is None
