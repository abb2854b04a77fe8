"""Echo: what it says back, how it waits and how it fails."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from processors.echo import LONGEST_DELAY_MS, Echo, requested_failure
from processors.local import run_one
from processors.protocol import Processor
from schemas.errors import (
    ConnectionFailed,
    ErrorCode,
    InvalidInput,
    JobError,
    ModelNotFound,
    OutOfMemory,
    ProcessorBug,
)
from schemas.records import EchoInput, EchoOutput


def test_echo_is_a_processor() -> None:
    assert isinstance(Echo(), Processor)


def test_echo_returns_its_message(tmp_path: Path) -> None:
    assert run_one(Echo(), EchoInput("grüezi"), tmp_path) == EchoOutput("grüezi", 6)


def test_a_batch_waits_once_for_its_longest_job() -> None:
    items = [EchoInput("a", delay_ms=20), EchoInput("b", delay_ms=40), EchoInput("c")]
    started = time.perf_counter()
    outcomes = Echo().run(items)
    elapsed = time.perf_counter() - started
    assert list(outcomes) == items
    assert elapsed >= 0.040


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCode.INVALID_INPUT, InvalidInput),
        (ErrorCode.CONNECTION_ERROR, ConnectionFailed),
        (ErrorCode.OUT_OF_MEMORY, OutOfMemory),
        (ErrorCode.MODEL_NOT_FOUND, ModelNotFound),
        (ErrorCode.PROCESSOR_ERROR, ProcessorBug),
    ],
)
def test_a_job_fails_with_the_error_it_asks_for(code: ErrorCode, kind: type[JobError]) -> None:
    error = requested_failure(code.value)
    assert type(error) is kind
    assert error.code is code


def test_a_job_that_asks_for_an_unknown_error_gets_a_processor_bug() -> None:
    assert type(requested_failure("NO_SUCH_CODE")) is ProcessorBug


def test_a_job_that_fails_leaves_its_batch_mates_alone() -> None:
    good, bad = EchoInput("good"), EchoInput("bad", fail="INVALID_INPUT")
    first, second, third = Echo().run([good, bad, good])
    assert (first, third) == (good, good)
    assert isinstance(second, InvalidInput)


def test_a_negative_delay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="delay_ms"):
        run_one(Echo(), EchoInput("x", delay_ms=-1), tmp_path)


def test_echo_pulls_in_neither_torch_nor_numpy() -> None:
    code = "import sys, processors.echo; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("delay_ms", [-1, LONGEST_DELAY_MS + 1, 99_999_999_999_999])
def test_a_wait_that_can_not_be_meant_is_invalid(tmp_path: Path, delay_ms: int) -> None:
    with pytest.raises(InvalidInput, match="delay_ms"):
        run_one(Echo(), EchoInput("x", delay_ms=delay_ms), tmp_path)
