"""`sluice run-once`: run a processor in this process, with nothing around it."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from schemas.errors import ExitCode, JobError, ProcessorBug, UsageError
from streams.cli.options import Json
from streams.cli.output import err, out_json

if TYPE_CHECKING:
    from connectors.claim_store import JobFiles
    from processors.protocol import AnyProcessor
    from schemas.contract import AnyContract
    from schemas.records import Claim

ProcessorName = Annotated[str, Parameter(help="Name of the processor: echo, embed, segmentation, …")]
Input = Annotated[
    str | None,
    Parameter(
        name="--input",
        allow_leading_hyphen=True,
        help="A file with JSON, - for standard input, or the JSON itself. A path may replace a claim check. Default: {}.",
    ),
]
Files = Annotated[
    tuple[str, ...],
    Parameter(name="--file", help="field=path: use this file for that field of the input; repeatable. Default: none."),
]
OutputDir = Annotated[Path | None, Parameter(help="Folder for files that the job saves. Default: they are deleted.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or cuda:N; auto takes CUDA if a test kernel runs on it.")]


def run_once(
    processor: ProcessorName,
    /,
    *,
    input_: Input = None,
    file: Files = (),
    output_dir: OutputDir = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Run a processor on one input, without Kafka or a database.

    Loads the processor as a worker does, runs one job in this process and prints
    the output as JSON; its progress goes to stderr. With --json the version, the
    device and the seconds it took are printed too, and `output` holds the output.
    Exit status 3 if the job fails (--debug shows the traceback), 2 if the input
    does not match the processor's contract.

    For example:

        sluice run-once echo --input '{"message": "hi"}'
        sluice run-once segmentation --file volume=scan.nii.gz --output-dir out
        sluice run-once echo --input job.json --json | jq .output
    """
    from schemas.contract import contract
    from streams.settings import load_settings
    from streams.worker.child.loader import load_processor

    chosen = contract(processor)
    typed = _input(chosen, input_, file)
    loaded, context = load_processor(processor, device, load_settings().weights_dir)
    with folders(output_dir) as (kept, scratch):
        started = time.monotonic()
        try:
            output = _run(loaded, typed, kept, scratch)
        except JobError as error:
            return _failed(error)
        report = {
            "processor": processor,
            "version": loaded.version,
            "device": context.used_device,
            "seconds": round(time.monotonic() - started, 3),
            "output": output,
        }
    out_json(report if json else output)
    return ExitCode.OK


def _input(contract: AnyContract, option: str | None, files: tuple[str, ...]) -> Any:
    """Return the typed input, checked as `sluice submit` does. Raises UsageError, InvalidInput."""
    from schemas.avsc import check_field, request_schema
    from schemas.envelope import typed_input
    from schemas.plain import to_plain
    from streams.cli.inputs import claim_fields, named_files, read_inputs

    inputs = read_inputs(option)
    if len(inputs) != 1:
        raise UsageError(f"There are {len(inputs)} inputs; run-once runs one job.", next_step="Give one JSON object.")
    plain = {**inputs[0], **{name: str(path) for name, path in named_files(contract, files).items()}}
    claims = claim_fields(contract)
    typed = typed_input(contract, {name: _claimed(v) if name in claims else v for name, v in plain.items()})
    check_field(request_schema(contract), "input", to_plain(typed))
    return typed


def _claimed(value: Any) -> Any:
    """Replace a path (or each path of a list) by a claim check for that file. Raises UsageError."""
    from processors.local import claim_of
    from schemas.plain import to_plain
    from streams.cli.inputs import content_type

    if isinstance(value, list):
        return [_claimed(item) for item in value]
    if not isinstance(value, str):
        return value
    path = Path(value)
    if not path.is_file():
        raise UsageError(f"There is no file {value!r}.")
    return to_plain(claim_of(path, content_type(path)))


def _run(processor: AnyProcessor, input_: Any, kept: Path, scratch: Path) -> dict[str, Any]:
    """Run the job. Raises JobError; an error the processor does not declare becomes a ProcessorBug."""
    from processors.local import run_one
    from schemas.plain import to_plain

    try:
        return to_plain(run_one(processor, input_, kept, once_context(kept, scratch)))
    except JobError:
        raise
    except Exception as error:
        from streams.worker.child.text import to_text

        raise ProcessorBug(f"{type(error).__name__}: {to_text(error)}") from error


def once_context(kept: Path, scratch: Path, files: JobFiles | None = None) -> Any:
    """Return a job's context. `files`: where its claims are, None for files of this machine."""
    from processors.local import LocalJobContext, claim_of

    class OnceContext(LocalJobContext):
        """Prints progress at once, and keeps saved files under the names the job gave them."""

        def open(self, claim: Claim) -> Path:
            return super().open(claim) if files is None else files.fetch(claim, self.scratch())

        def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
            err("  ".join(filter(None, [stage, "" if percent is None else f"{percent:.0f} %", message])))

        def scratch(self) -> Path:
            return Path(tempfile.mkdtemp(dir=scratch))

        def save(self, path: Path, content_type: str) -> Any:
            target = kept / path.name
            if path.resolve() != target.resolve():
                shutil.copyfile(path, target)
            err(f"saved {target}")
            return claim_of(target, content_type)

    return OnceContext(kept)


@contextmanager
def folders(output_dir: Path | None) -> Iterator[tuple[Path, Path]]:
    """Make the folders for saved files and for scratch files; the scratch folder is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as temporary:
        scratch, kept = Path(temporary) / "scratch", output_dir or Path(temporary) / "kept"
        for folder in (scratch, kept):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"The folder {str(folder)!r} can't be created: {error.strerror}.") from error
        yield kept, scratch


def _failed(error: JobError) -> int:
    """Print the job's error as its outcome would have it."""
    from streams.cli.run import debugging

    if debugging():
        traceback.print_exception(error.__cause__ or error, file=sys.stderr)
    err(f"failed: {error.code}: {error.message}")
    if error.next_step:
        err(f"  {error.next_step}")
    if not debugging():
        err("  --debug shows the traceback.")
    return ExitCode.JOB_FAILED
