"""Errors and outputs that can't be encoded as they are fail their own job and no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from processors.protocol import Job, JobContext
from schemas.errors import ConnectionFailed, InvalidInput, JobError, OutOfMemory
from schemas.records import EchoInput, EchoOutput
from tests.harness.executor_kit import Kit, Upper


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


class MuteRuntimeError(RuntimeError):
    def __str__(self) -> str:
        raise RuntimeError("no")


class Unmade(InvalidInput):
    """Forgets its base's `__init__`."""

    def __init__(self) -> None:
        pass


class OddCode(JobError):
    code: Any = frozenset({frozenset()}), []  # can't be hashed
    retryable = True


ERRORS: dict[str, tuple[Exception, str, str]] = {
    "surrogate": (ValueError("can't read \udcff.dcm"), "PROCESSOR_ERROR", "ValueError: can't read \\udcff.dcm"),
    "surrogate of ours": (InvalidInput("\udcff"), "INVALID_INPUT", "\\udcff"),
    "nul": (InvalidInput("a\0b", next_step="\0"), "INVALID_INPUT", "a\ufffdb \ufffd"),
    "no text": (InvalidInput(None), "INVALID_INPUT", "(InvalidInput without a text: TypeError)"),  # type: ignore[arg-type]
    "mute": (Mute(), "PROCESSOR_ERROR", "Mute: (Mute without a text: RuntimeError)"),
    "mute, run": (MuteRuntimeError(), "PROCESSOR_ERROR", "without a text"),
    "unmade": (Unmade(), "INVALID_INPUT", "(Unmade without a text: AttributeError)"),
    "odd code": (OddCode("x"), "PROCESSOR_ERROR", "OddCode, which can't be described: TypeError"),
    "group": (ExceptionGroup("\udcff", [ValueError("\0")]), "PROCESSOR_ERROR", "\\udcff"),
}
OUTPUTS: dict[str, Any] = {
    "surrogate": EchoOutput("\udcff", 1),
    "too large": EchoOutput("x", 2**70),
    "no number": EchoOutput("x", "many"),  # type: ignore[arg-type]
    "nothing": None,
    "no output": 5,
}


class Unspeakable(Upper):
    """Fails in the step and with the error that a job names, or gives the output that it names."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        step, _, what = job.input.message.partition(":")
        if step == "prepare":
            raise ERRORS[what][0]
        return job.input.message

    def run(self, items: Sequence[str]) -> Sequence[str]:
        for item in items:
            step, _, what = item.partition(":")
            if step == "run":
                raise ERRORS[what][0]
        return items

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        step, _, what = raw.partition(":")
        if step == "finish":
            raise ERRORS[what][0]
        return OUTPUTS[what] if step == "output" else EchoOutput(raw, len(raw))


@pytest.mark.parametrize("what", ERRORS)
@pytest.mark.parametrize("step", ["prepare", "run", "finish"])
def test_an_error_that_can_not_be_encoded_fails_its_own_job(tmp_path: Path, step: str, what: str) -> None:
    kit = Kit(Unspeakable(), tmp_path)
    kit.send(kit.request("before"), kit.request(f"{step}:{what}"), kit.request("after"))
    kit.work()
    result = kit.result(1)["result"]
    assert result["disposition"] == "failed"
    assert result["error"]["code"] == ERRORS[what][1]
    assert ERRORS[what][2] in result["error"]["message"]
    assert "\0" not in result["error"]["message"]
    assert len(result["error"]["fingerprint"]) == 16
    assert [kit.code(0), kit.code(2)] == [None, None]


@pytest.mark.parametrize("what", OUTPUTS)
def test_an_output_that_can_not_be_encoded_fails_its_own_job(tmp_path: Path, what: str) -> None:
    kit = Kit(Unspeakable(), tmp_path)
    kit.send(kit.request("before"), kit.request(f"output:{what}"), kit.request("after"))
    kit.work()
    assert [kit.code(slot) for slot in range(3)] == [None, "PROCESSOR_ERROR", None]


@pytest.mark.parametrize("after", [float("nan"), float("-inf"), -5, "soon", "nan", object(), [1], 10**400])
def test_a_retry_after_that_is_no_number_is_ignored(tmp_path: Path, after: Any) -> None:
    assert retry_in_ms(tmp_path, after) == 500


@pytest.mark.parametrize("after", [float("inf"), 1e300, "1e9"])
def test_a_retry_after_without_end_is_a_day(tmp_path: Path, after: Any) -> None:
    assert retry_in_ms(tmp_path, after) == 86_400_500


def retry_in_ms(tmp_path: Path, after: Any) -> Any:
    class Busy(Upper):
        def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
            raise ConnectionFailed("x", retry_after_s=after)

    kit = Kit(Busy(), tmp_path)
    kit.send(kit.request("busy"))
    kit.work()
    assert (kit.code(0), kit.result(0)["result"]["disposition"]) == ("CONNECTION_ERROR", "retry")
    return kit.result(0)["result"]["retry_in_ms"]


def test_running_out_of_memory_is_recognised_by_its_type_whatever_its_message(tmp_path: Path) -> None:
    class Full(Upper):
        def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
            raise OutOfMemory("\udcff")

    kit = Kit(Full(), tmp_path)
    kit.send(kit.request("full"))
    kit.work()
    assert kit.code(0) == "OUT_OF_MEMORY"
