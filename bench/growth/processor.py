"""Processors that only look at how large a file is, as many as are wanted, for rows with many processors or large payloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.records import Claim

_MODULE = "sluice_bench_files"


@dataclass(frozen=True, slots=True)
class FileInput:
    file: Claim


@dataclass(frozen=True, slots=True)
class FileOutput:
    """`size`: of the file, in bytes."""

    size: int


class FileSize:
    """Reads the file of a job, which checks its hash, and answers with its size."""

    name, version, model_sha256 = "", "1", ""
    request, result = FileInput, FileOutput
    policy = Policy(batch=Batch(max_size=16, max_wait_ms=0.0))

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[FileInput], ctx: JobContext) -> int:
        return ctx.open(job.input.file).stat().st_size

    def run(self, items: Sequence[int]) -> Sequence[int]:
        return items

    def finish(self, job: Job[FileInput], raw: int, ctx: JobContext) -> FileOutput:
        return FileOutput(raw)


def contract(name: str, avro: Path) -> ProcessorContract[FileInput, FileOutput]:
    return ProcessorContract(name, FileInput, FileOutput, avro)


def install(names: Sequence[str], site: Path) -> None:
    """Make a package of these processors in the folder `site`: with it on PYTHONPATH they count as installed."""
    info, avro = site / f"{_MODULE}-1.dist-info", site / "avro"
    info.mkdir(parents=True)
    avro.mkdir()
    lines = ["from pathlib import Path", "from bench.growth.processor import FileSize, contract"]
    contracts, classes = ["[sluice.optional-contracts]"], ["[sluice.processors]"]
    for name in names:
        made = contract(name, avro)
        lines.append(f"{made.camel}Contract = contract({name!r}, Path(__file__).parent / 'avro')")
        lines.append(f"class {made.camel}(FileSize): name = {name!r}")
        contracts.append(f"{name} = {_MODULE}:{made.camel}Contract")
        classes.append(f"{name} = {_MODULE}:{made.camel}")
        for schema in _schemas(made.camel):
            (avro / f"{schema['name']}.avsc").write_text(json.dumps(schema))
    (site / f"{_MODULE}.py").write_text("\n".join(lines) + "\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_MODULE}\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join([*contracts, *classes]) + "\n")


def _schemas(camel: str) -> list[dict[str, object]]:
    header = {"name": "header", "type": "sluice.v1.JobHeader"}
    given = {"type": "record", "name": f"{camel}Input", "fields": [{"name": "file", "type": "sluice.v1.Claim"}]}
    made = {"type": "record", "name": f"{camel}Output", "fields": [{"name": "size", "type": "long"}]}
    about = {"name": "result", "type": "sluice.v1.ResultInfo"}
    output = {"name": "output", "type": ["null", made], "default": None}
    return [
        {"type": "record", "name": f"{camel}{kind}", "namespace": "sluice.v1", "fields": fields}
        for kind, fields in (
            ("Request", [header, {"name": "input", "type": given}]),
            ("Result", [header, about, output]),
        )
    ]
