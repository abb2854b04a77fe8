"""`sluice repro`: run a stored job again in this process, exactly as it was, and compare."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from schemas.errors import ExitCode, StartupError, UndecodableRecord, Unreachable, UsageError
from streams.cli.options import COUNT, Json
from streams.cli.output import err, out_json

if TYPE_CHECKING:
    from connectors.claim_store import JobFiles
    from processors.protocol import Job
    from schemas.codec import Codec
    from schemas.records import ErrorInfo
    from streams.explain.stored_attempt import StoredAttempt
    from streams.settings import Settings
    from streams.worker.child.loader import Loaded

JobId = Annotated[str, Parameter(help="Id of the job, as printed by `sluice jobs`.")]
Run = Annotated[int | None, Parameter(validator=COUNT, help="The run; 0 is the first. Default: the current run.")]
Attempt = Annotated[int | None, Parameter(validator=COUNT, help="The attempt; 1 is the first. Default: the last one.")]
Pdb = Annotated[bool, Parameter(name="--pdb", help="Open the debugger where the job raises its error.")]
OutputDir = Annotated[
    Path | None,
    Parameter(help="Folder for the request's exact bytes and the files that the job saves. Default: they are deleted."),
]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or cuda:N; auto takes CUDA if a test kernel runs on it.")]


@dataclass(slots=True)
class Reproduction:
    """The end of a run here. `error`: None if it completed. `differences`: of the surroundings; `changes`: of the output."""

    output: Any = None
    error: ErrorInfo | None = None
    differences: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def repro(
    job_id: JobId,
    /,
    *,
    run: Run = None,
    attempt: Attempt = None,
    pdb: Pdb = False,
    output_dir: OutputDir = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Run a stored job again in this process, exactly as it was, and compare.

    Takes the request's bytes from the log, loads the version that ran them, and
    says each difference from what the result's receipt has: weights, code, input,
    device, batch. Then it runs the job here, without the engine, publishes nothing,
    prints the output or the traceback, and compares it with the stored outcome.
    Exit status 0 if it ends as it did, also with the same error; 8 if not.

    For example:

        sluice repro 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice repro 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --attempt 1 --pdb
        sluice repro 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --output-dir out
    """
    from schemas.ids import is_job_id
    from streams import wiring
    from streams.cli.run_once import folders
    from streams.explain.stored_attempt import fetch_attempt
    from streams.settings import load_settings

    if not is_job_id(job_id):
        raise UsageError(f"{job_id!r} is not a job id.", next_step="`sluice jobs` lists jobs with their ids.")
    settings = load_settings()
    codec = wiring.codec(settings)
    stored = fetch_attempt(settings, codec, job_id, run, attempt)
    err(f"job {stored.job_id}  run {stored.run}  attempt {stored.attempt}  {stored.processor}  {_source(stored)}")
    with folders(output_dir) as (kept, scratch):
        if output_dir is not None:
            (kept / "request.avro").write_bytes(stored.value)
        made = _reproduce(settings, codec, stored, kept, scratch, device, pdb)
    same = _compare(stored, made)
    if json:
        out_json(_report(stored, made, same))
    elif made.error is None:
        out_json(made.output)
    return ExitCode.OK if same else ExitCode.PARTIAL


def _source(stored: StoredAttempt) -> str:
    where = stored.request
    place = "from Postgres" if where is None else f"from {where.topic}[{where.partition}]@{where.offset}"
    return f"{len(stored.value):,} bytes {place}"


def _reproduce(
    settings: Settings, codec: Codec, stored: StoredAttempt, kept: Path, scratch: Path, device: str, pdb: bool
) -> Reproduction:
    """Run the attempt. An error of the job is part of the result; one of the surroundings is raised."""
    from processors.local import run_one
    from schemas.plain import to_plain
    from streams import wiring
    from streams.cli.run_once import once_context
    from streams.worker.child.results import error_info

    made = Reproduction()
    try:
        job = _decode(codec, stored)
    except UndecodableRecord as error:
        err(f"The request can't be decoded: {error.message}\n  its first bytes: {stored.value[:64].hex(' ')}")
        made.error = error_info(error)
        return made
    loaded = _load(settings, stored, device, made)
    made.differences += _surroundings(codec, stored, job, loaded)
    for difference in made.differences:
        err(f"differs: {difference}")
    err("Running it: no limit of time or memory and no deadline ends it here, and nothing is published.")
    files: JobFiles = wiring.object_store(settings)
    try:
        context = once_context(kept, scratch, files)
        made.output = to_plain(run_one(loaded.processor, job.input, kept, context, job.header))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the job's error is the result
        traceback.print_exception(error, file=sys.stderr)
        made.error = error_info(error)
        if pdb:
            _debug(error)
    return made


def _debug(error: BaseException) -> None:
    import pdb

    err("The debugger is at the error; `q` leaves it.")
    pdb.post_mortem(error.__traceback__)


def _decode(codec: Codec, stored: StoredAttempt) -> Job[Any]:
    """Decode the request as a worker does. Raises UndecodableRecord, Unreachable."""
    from dataclasses import replace

    from processors.protocol import Job
    from schemas.contract import contract
    from schemas.envelope import header_of
    from schemas.plain import from_plain

    plain = codec.decode(stored.value)
    try:
        header = replace(
            header_of(plain), attempt=stored.attempt
        )  # one that is retried in place says the first attempt
        return Job(header, from_plain(contract(stored.processor).input, plain["input"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"The record is no request of {stored.processor!r}: {error}."[:300]) from error


def _load(settings: Settings, stored: StoredAttempt, device: str, made: Reproduction) -> Loaded:
    """Load the version that ran it, else the default one. Raises StartupError."""
    from processors.rollout import Rollout
    from streams.worker.child.loader import load_versions

    wanted = stored.info.model_version if stored.info is not None else ""
    if wanted:
        try:
            return load_versions(stored.processor, Rollout(wanted), device, settings.weights_dir)[0]
        except StartupError as error:
            if "has no version" not in error.message:
                raise
            made.differences.append(f"version {wanted} ran it, and is not installed here")
    [loaded] = load_versions(stored.processor, None, device, settings.weights_dir)
    return loaded


def _surroundings(codec: Codec, stored: StoredAttempt, job: Job[Any], loaded: Loaded) -> Iterator[str]:
    """Yield how what runs here differs from what ran, by the receipt in the result."""
    from processors.code_version import code_version

    info, processor = stored.info, loaded.processor
    if info is None:
        yield "there is no result of this attempt, so nothing says which weights and code ran it"
        return
    here = {
        "version": (info.model_version, processor.version),
        "sha256 of the weights": (info.model_sha256 or "", processor.model_sha256 or ""),
        "code": (info.code_version, code_version(type(processor))),
        "device": (info.device, loaded.context.used_device),
        "sha256 of the input": (info.input_sha256 or job.header.input_sha256, _input_hash(codec, stored, job)),
    }
    for name, (ran, now) in here.items():
        if ran and now is not None and ran != now:
            yield f"{name}: {ran} ran, here it is {now or 'none'}"
    if info.timings.batch_size > 1:
        yield f"batch: it ran with {info.timings.batch_size - 1} other jobs, here alone"
    if info.reused_from:
        yield f"its output was reused from {info.reused_from}, so no worker ran it"


def _input_hash(codec: Codec, stored: StoredAttempt, job: Job[Any]) -> str | None:
    """Return the hash of the input as it was decoded; None if the registry does not answer."""
    from schemas.avsc import request_schema
    from schemas.contract import contract
    from schemas.envelope import input_hash

    made = contract(stored.processor)
    topic = stored.request.topic if stored.request is not None else f"requests.{made.name}"
    try:
        return input_hash(codec.encoder(f"{topic}-value", request_schema(made)), job.input)
    except Unreachable:
        return None


def _compare(stored: StoredAttempt, made: Reproduction) -> bool:
    """Say how the end here differs from the stored one; return True if it does not."""
    here = "completed" if made.error is None else f"failed with {made.error.code}"
    if stored.info is None:
        err(f"Here it {here}; there is no stored result to compare with ({stored.state or 'state not known'}).")
        return made.error is None
    before = "completed" if stored.error is None else f"failed with {stored.error.code}"
    if (stored.error is None) != (made.error is None):
        err(f"Different: it {before}, here it {here}.")
        return False
    if made.error is not None and stored.error is not None:
        same = (made.error.code, made.error.type) == (stored.error.code, stored.error.type)
        place = " at the same place" if made.error.fingerprint == stored.error.fingerprint else ", at another place"
        err(f"Reproduced: here it {here} as well{place}." if same else f"Different: it {before}, here it {here}.")
        return same
    made.changes = list(_output_changes(stored.output, made.output))
    for change in made.changes:
        err(f"output differs: {change}")
    err("Reproduced: the output is the same." if not made.changes else f"Different in {len(made.changes)} fields.")
    return not made.changes


def _output_changes(stored: Any, here: Any) -> Iterator[str]:
    from streams.shadow.differences import Comparer, Difference
    from streams.shadow.values import difference_text

    def by_hash(path: str, before: Any, after: Any) -> list[Difference]:
        return [Difference(path, "file", before["sha256"] == after["sha256"], before["sha256"], after["sha256"])]

    for each in Comparer(by_hash).compare(stored, here):
        if not each.equal:
            yield f"{each.path or 'output'}: {difference_text(each)}"


def _report(stored: StoredAttempt, made: Reproduction, same: bool) -> dict[str, Any]:
    return {
        "job_id": stored.job_id,
        "run": stored.run,
        "attempt": stored.attempt,
        "processor": stored.processor,
        "request": stored.request,
        "result": stored.result,
        "reproduced": same,
        "differences": made.differences,
        "output": made.output,
        "error": made.error,
        "stored_output": stored.output,
        "stored_error": stored.error,
        "output_differences": made.changes,
    }
