"""The files of a new processor: a package to install beside sluice, with a test that passes. Pure; `sluice new` writes them."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from string import Template

from schemas.contract import NAME, known_processors
from schemas.errors import Conflict, UsageError

RULE = "A name has up to 48 lower-case letters, digits and hyphens, begins with a letter, and is not `bulk`."


def check_name(name: str) -> None:
    """Raises UsageError for a name that can be no processor's, Conflict for one that is installed."""
    if not NAME.fullmatch(name) or name == "bulk":
        raise UsageError(f"{name[:60]!r} can't be a processor's name.", next_step=RULE)
    if name in known_processors():
        raise Conflict(f"There is a processor {name!r} already.", next_step="Take another name, or uninstall that one.")
    if keyword.iskeyword(module := module_of(name)) or module in sys.stdlib_module_names or find_spec(module):
        raise UsageError(
            f"A package {module!r} would hide another of that name in Python.",
            next_step=f"Take a longer name, such as {name + '-of-mine'!r}.",
        )


def module_of(name: str) -> str:
    return name.replace("-", "_")


def files(name: str) -> Mapping[str, str]:
    """What to write, by path within the new folder. Raises as `check_name`."""
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
# Install it beside sluice, which comes from its repository: what an index has under that name is another project.
dependencies = []

# Two entry points under one name: the contract is light and for everyone, the class is what a worker loads.
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
"""What a job of `$name` takes and gives. Whoever submits imports this, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract


@dataclass(frozen=True, slots=True)
class ${camel}Input:
    """As the record `${camel}Input` in avro/${camel}Request.avsc."""

    text: str


@dataclass(frozen=True, slots=True)
class ${camel}Output:
    """As the record `${camel}Output` in avro/${camel}Result.avsc."""

    words: int


$const: ProcessorContract[${camel}Input, ${camel}Output] = ProcessorContract(
    "$name", ${camel}Input, ${camel}Output, Path(__file__).parent / "avro"
)
'''

_PROCESSOR = '''
"""The work of `$name`: counts words, until you put your own in its place."""

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
        """Once, before the first job: weights and warm-up. What it raises stops the worker, by name."""

    def prepare(self, job: Job[${camel}Input], ctx: JobContext) -> str:
        """CPU, one job: fetch and decode its input. What it raises is this job's alone."""
        if not job.input.text.strip():
            raise InvalidInput("There is no text to count.", next_step="Give a text with a word in it.")
        return job.input.text

    def run(self, items: Sequence[str]) -> Sequence[int]:
        """Device, a batch: one outcome an item, in the same order."""
        return [len(text.split()) for text in items]

    def finish(self, job: Job[${camel}Input], raw: int, ctx: JobContext) -> ${camel}Output:
        """CPU, one job: the typed result."""
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
  "doc": "What $name made of a job.",
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
"""`$name` in a test: alone, and in a whole flow without Kafka (docs/testing.md)."""

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


def test_a_job_goes_all_the_way() -> None:
    with Flow($camel, contract=$const) as flow:
        job_id = flow.submit("$name", {"text": "one two"})
        flow.settle()
        assert flow.job(job_id).output == {"words": 2}
'''
