"""`sluice submit`: one job, or one for each object of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from schemas.errors import Conflict, ExitCode, UsageError
from streams.cli.inputs import pairs
from streams.cli.options import Json
from streams.cli.output import err, out, say_json
from streams.cli.progress import progress_bar

if TYPE_CHECKING:
    from schemas.contract import AnyContract
    from streams.client.outcomes import Outcome, OutcomeWaiter
    from streams.client.submitter import Submitter
    from streams.settings import Settings

#: How long Kafka may take to confirm: somebody is looking at the terminal.
PATIENCE_S = 15.0

ProcessorName = Annotated[str, Parameter(help="Who shall do it: echo, embed, segmentation, …")]
Input = Annotated[
    str | None,
    Parameter(
        name="--input",
        allow_leading_hyphen=True,
        help="A file with JSON, - for standard input, or the JSON itself. Several objects: several jobs.",
    ),
]
Files = Annotated[
    tuple[str, ...],
    Parameter(name="--file", help="field=path: put the file in the object store and its claim check in that field."),
]
Wait = Annotated[bool, Parameter(help="Wait for the outcome and print it.")]
Timeout = Annotated[float, Parameter(help="Seconds to wait at most; then exit status 124.", show_default=True)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """What a job carries besides its input."""

    callback_url: Annotated[str | None, Parameter(help="Where to tell of the outcome.")] = None
    idempotency_key: Annotated[str | None, Parameter(help="The same key makes the same job, however often sent.")] = (
        None
    )
    tenant: Annotated[str, Parameter(help="Whose job it is.")] = "default"
    lane: Annotated[Literal["live", "bulk"], Parameter(help="bulk never delays what is live.", show_default=True)] = (
        "live"
    )
    deadline: Annotated[timedelta | None, Parameter(help="How long it is of use: 30s, 5m, 2h. Then it is EXPIRED.")] = (
        None
    )
    not_before: Annotated[datetime | None, Parameter(help="When it may begin: 2026-03-01T06:00:00+00:00.")] = None
    delay: Annotated[timedelta | None, Parameter(help="How long it waits before it may begin: 30s, 5m, 2h.")] = None
    order_key: Annotated[
        str | None, Parameter(help="Jobs with one key share a partition; a processor may run them in order.")
    ] = None
    batch_id: Annotated[
        str | None, Parameter(name="--batch", help="A name that many jobs share, to cancel them by.")
    ] = None
    model_version: Annotated[
        str | None, Parameter(help="The version that is to run it; none: whatever is current.")
    ] = None
    external_id: Annotated[str | None, Parameter(help="The backend's own id.")] = None
    case_id: Annotated[str | None, Parameter(help="The case it belongs to.")] = None
    label: Annotated[tuple[str, ...], Parameter(help="key=value, to find it by; may be given several times.")] = ()
    max_attempts: Annotated[int, Parameter(help="Tries before a retryable failure is final.", show_default=True)] = 3

    def for_submitter(self) -> dict[str, Any]:
        """As options of `streams.client.submitter.Submitter`."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        del given["label"], given["deadline"], given["delay"]
        if self.delay is not None and self.not_before is not None:
            raise UsageError("--delay and --not-before say the same thing.", next_step="Give one of them.")
        now = datetime.now(UTC)
        deadline = None if self.deadline is None else now + self.deadline
        not_before = self.not_before if self.delay is None else now + self.delay
        labels = pairs(self.label, "--label")
        return {**given, "labels": labels, "deadline": deadline, "not_before": not_before}


def submit(
    processor: ProcessorName,
    /,
    *,
    input_: Input = None,
    file: Files = (),
    wait: Wait = False,
    timeout: Timeout = 300.0,
    options: SubmitOptions = SubmitOptions(),
    json: Json = False,
) -> int:
    """Submit one job, or many, to a processor.

    A job is accepted once Kafka has confirmed it: then its id is printed, and it
    will end in exactly one outcome. With --wait the exit status tells that outcome:
    0 completed, 3 failed, 4 cancelled or expired, 8 some of many failed, 124 not
    done in time; 7 when its idempotency key had made a job of another input.

    For example:

        sluice submit echo --input '{"message": "hi"}' --wait
        sluice submit segmentation --file volume=scan.nii.gz --wait
        sluice submit echo --input jobs.jsonl --lane bulk
        sluice submit echo --input job.json --delay 2h
        sluice submit echo --input - --idempotency-key order-17 < job.json
        sluice submit echo --input job.json --callback-url http://localhost:80/x
    """
    from schemas.contract import contract
    from streams.cli.inputs import read_inputs, with_files
    from streams.client.submitter import Submitter
    from streams.settings import load_settings

    chosen, settings = contract(processor), load_settings()
    inputs = with_files(settings, chosen, read_inputs(input_), file)
    if options.idempotency_key is not None and len(inputs) > 1:
        raise UsageError(f"{len(inputs)} jobs can't share one idempotency key.", next_step="Submit them one by one.")
    with Submitter(settings, timeout_s=PATIENCE_S) as submitter:
        if wait:
            return _submit_and_wait(settings, submitter, chosen, inputs, options, timeout, json)
        _submit(submitter, processor, inputs, options, json)
    return ExitCode.OK


def _submit(
    submitter: Submitter, processor: str, inputs: Sequence[dict[str, Any]], options: SubmitOptions, as_json: bool
) -> None:
    """Print each id once its job is accepted."""
    if len(inputs) == 1:
        accepted = submitter.submit(processor, inputs[0], **options.for_submitter())
        if as_json:
            say_json(accepted)
            return
        out(accepted.job_id)
        err(f"accepted: {accepted.topic}, partition {accepted.partition}, offset {accepted.offset}")
        return
    for job_id in _queue(submitter, processor, inputs, options):
        say_json({"job_id": job_id}, indent=None) if as_json else out(job_id)
    err(f"{len(inputs)} jobs accepted")


def _queue(submitter: Submitter, processor: str, inputs: Sequence[dict[str, Any]], options: SubmitOptions) -> list[str]:
    """Submit all and return their ids once all are accepted."""
    with progress_bar("submitting", len(inputs)) as advance:
        job_ids = []
        for job_id in submitter.submit_many(processor, inputs, **options.for_submitter()):
            job_ids.append(job_id)
            advance()
    return job_ids


def _submit_and_wait(
    settings: Settings,
    submitter: Submitter,
    contract: AnyContract,
    inputs: Sequence[dict[str, Any]],
    options: SubmitOptions,
    timeout_s: float,
    as_json: bool,
) -> int:
    from streams.cli import outcomes
    from streams.client.outcomes import OutcomeWaiter

    with OutcomeWaiter(settings, contract) as waiter:
        job_ids = _queue(submitter, contract.name, inputs, options)
        if options.idempotency_key is not None:
            ours = submitter.input_sha256(contract.name, inputs[0])
            if (code := _already_decided(settings, job_ids[0], ours, as_json)) is not None:
                return code
        seen = _wait(waiter, job_ids, timeout_s, as_json)
    if len(inputs) > 1 or len(seen) < len(job_ids):
        err(outcomes.summary([outcome.state for outcome in seen], len(job_ids)))
    if open_ids := sorted(set(job_ids) - {outcome.job_id for outcome in seen}):
        err(f"not done within {timeout_s:g} s; `sluice job {open_ids[0]}` tells its state")
    return outcomes.exit_code(seen, len(job_ids))


def _wait(waiter: OutcomeWaiter, job_ids: Sequence[str], timeout_s: float, as_json: bool) -> list[Outcome]:
    """Print outcomes as they come."""
    from streams.cli import outcomes

    seen = []
    with progress_bar("outcomes", len(job_ids)) as advance:
        for outcome in waiter.wait(job_ids, timeout_s):
            if as_json:
                say_json(outcomes.as_json(outcome), indent=2 if len(job_ids) == 1 else None)
            else:
                out(outcomes.as_text(outcome))
            seen.append(outcome)
            advance()
    return seen


def _already_decided(settings: Settings, job_id: str, input_sha256: str, as_json: bool) -> int | None:
    """The exit status of a job that this key had made, and finished, before: its outcome comes no second time.

    Raises Conflict when that job had another input.
    """
    from schemas.states import State
    from streams import wiring
    from streams.cli.job import as_text
    from streams.client.outcomes import exit_code_of

    with wiring.job_store(settings) as store:
        view = store.job(job_id)
    if view is not None and view.input_sha256 not in ("", input_sha256):
        raise Conflict(
            f"This idempotency key had made the job {job_id} before, from another input; that job stands.",
            next_step=f"Use another key, or look at the job: sluice job {job_id}",
        )
    if view is None or not (state := State(view.state)).terminal:
        return None
    say_json(view) if as_json else out(as_text(view))
    err("this idempotency key had made the job before")
    return exit_code_of(state)
