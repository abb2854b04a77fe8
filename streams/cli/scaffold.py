"""The files of a new processor: an installable package with a test that passes. Pure; `sluice new` writes them."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from string import Template

from schemas.contract import NAME, known_processors
from schemas.errors import Conflict, UsageError

RULE = "Use up to 48 lower-case letters, digits and hyphens, starting with a letter; `bulk` is reserved."


def check_name(name: str) -> None:
    """Check the name of a new processor. Raises UsageError if it is not allowed, Conflict if it is installed."""
    if not NAME.fullmatch(name) or name == "bulk":
        raise UsageError(f"{name[:60]!r} is not a valid processor name.", next_step=RULE)
    if name in known_processors():
        raise Conflict(
            f"A processor {name!r} is already installed.", next_step="Use another name, or uninstall that one."
        )
    if keyword.iskeyword(module := module_of(name)) or module in sys.stdlib_module_names or find_spec(module):
        raise UsageError(
            f"The package {module!r} would hide a Python module of the same name.",
            next_step=f"Use a longer name, such as {'my-' + name!r}.",
        )


def module_of(name: str) -> str:
    return name.replace("-", "_")


def files(name: str) -> Mapping[str, str]:
    """Return the texts of all files by their path in the new folder. Raises as `check_name` does."""
    check_name(name)
    module, camel = module_of(name), "".join(part.capitalize() for part in name.split("-"))
    words = {"name": name, "module": module, "camel": camel, "const": module.upper()}
    return {
        path.format(**words): Template(text.lstrip("\n")).substitute(words)
        for path, text in {
            "pyproject.toml": _PYPROJECT,
            "{module}/__init__.py": _INIT,
            "{module}/contract.py": _CONTRACT,
            "{module}/processor.py": _PROCESSOR,
            "{module}/avro/{camel}Request.avsc": _REQUEST,
            "{module}/avro/{camel}Result.avsc": _RESULT,
            "tests/test_{module}.py": _TEST,
        }.items()
    }


_PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
requires-python = ">=3.11"
# Install it into the environment of sluice. `sluice` on PyPI is another project, so it must not be named here.
dependencies = []

# Two entry points with the same name: programs that submit import the contract, workers load the class.
[project.entry-points."sluice.contracts"]
$name = "$module.contract:$const"

[project.entry-points."sluice.processors"]
$name = "$module.processor:$camel"

[tool.hatch.build.targets.wheel]
packages = ["$module"]

[tool.ruff]
line-length = 120

[tool.pytest.ini_options]
pythonpath = ["."]
"""

_INIT = '''
"""The processor `$name`."""
'''

_CONTRACT = '''
"""Input and output of `$name`. Programs that submit jobs import this file, so it must import nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract


@dataclass(frozen=True, slots=True)
class ${camel}Input:
    """Matches the record `${camel}Input` in avro/${camel}Request.avsc."""

    text: str


@dataclass(frozen=True, slots=True)
class ${camel}Output:
    """Matches the record `${camel}Output` in avro/${camel}Result.avsc."""

    words: int


$const: ProcessorContract[${camel}Input, ${camel}Output] = ProcessorContract(
    "$name", ${camel}Input, ${camel}Output, Path(__file__).parent / "avro"
)
'''

_PROCESSOR = '''
"""The processor `$name`: counts words. Replace this with your own work."""

from __future__ import annotations

from collections.abc import Sequence

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput

from $module.contract import ${camel}Input, ${camel}Output


class $camel:
    name = "$name"
    version = "1"
    request = ${camel}Input
    result = ${camel}Output
    policy = Policy(batch=Batch(max_size=32))
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        """Called once before the first job: load weights, read settings (`ctx.option`), warm up. An error here stops
        the worker."""

    def prepare(self, job: Job[${camel}Input], ctx: JobContext) -> str:
        """Called per job, on the CPU: fetch and decode the input. An error here fails only this job."""
        if not job.input.text.strip():
            raise InvalidInput("The text is empty.", next_step="Give a text with at least one word.")
        return job.input.text

    def run(self, items: Sequence[str]) -> Sequence[int]:
        """Called per batch, on the device: return one result per item, in the same order."""
        return [len(text.split()) for text in items]

    def finish(self, job: Job[${camel}Input], raw: int, ctx: JobContext) -> ${camel}Output:
        """Called per job, on the CPU: return the typed output."""
        return ${camel}Output(raw)
'''

_REQUEST = """
{
  "type": "record",
  "name": "${camel}Request",
  "namespace": "sluice.v1",
  "doc": "A job for $name.",
  "fields": [
    {"name": "header", "type": "sluice.v1.JobHeader"},
    {"name": "input", "type": {"type": "record", "name": "${camel}Input", "fields": [
      {"name": "text", "type": "string"}
    ]}}
  ]
}
"""

_RESULT = """
{
  "type": "record",
  "name": "${camel}Result",
  "namespace": "sluice.v1",
  "doc": "The result of a job of $name.",
  "fields": [
    {"name": "header", "type": "sluice.v1.JobHeader"},
    {"name": "result", "type": "sluice.v1.ResultInfo"},
    {"name": "output", "type": ["null", {"type": "record", "name": "${camel}Output", "fields": [
      {"name": "words", "type": "int"}
    ]}], "default": null}
  ]
}
"""

_TEST = '''
"""Tests of `$name`: the processor alone, and a whole job without Kafka (docs/testing.md)."""

from __future__ import annotations

import pytest
from schemas.errors import InvalidInput
from streams.testing import Flow, run_processor

from $module.contract import $const, ${camel}Input, ${camel}Output
from $module.processor import $camel


def test_it_counts_words() -> None:
    assert run_processor($camel, ${camel}Input("one two")) == ${camel}Output(2)


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(InvalidInput):
        run_processor($camel, ${camel}Input(" "))


def test_a_job_completes() -> None:
    with Flow($camel, contract=$const) as flow:
        job_id = flow.submit("$name", {"text": "one two"})
        flow.settle()
        assert flow.job(job_id).output == {"words": 2}
'''
