"""`sluice submit`: submit one job per object of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from schemas.errors import Conflict, ExitCode, InvalidInput, UsageError
from streams.cli.inputs import pairs
from streams.cli.options import Json, duration
from streams.cli.output import err, out, out_json
from streams.cli.progress import progress_bar
from streams.client.job_options import JobOptions, describe

if TYPE_CHECKING:
    from connectors.views import JobView
    from schemas.contract import AnyContract
    from streams.client.outcomes import Outcome, OutcomeWaiter
    from streams.client.submitter import Submitter
    from streams.settings import Settings

#: How long Kafka may take to confirm, in seconds; short, because a person waits at the terminal.
PATIENCE_S = 15.0

ProcessorName = Annotated[str, Parameter(help="Name of the processor: echo, embed, segmentation, …")]
Input = Annotated[
    str | None,
    Parameter(
        name="--input",
        allow_leading_hyphen=True,
        help="A file with JSON, - for standard input, or the JSON itself. A file may hold one JSON object, or one "
        "per line. Each object is one job. Default: {}.",
    ),
]
Files = Annotated[
    tuple[str, ...],
    Parameter(
        name="--file",
        help="field=path: store the file and put a reference to it (a claim check: uri, sha256, size) into that field of the "
        "input; repeatable. Default: none.",
    ),
]
Wait = Annotated[bool, Parameter(help="Wait for the outcome and print it. Default: return once accepted.")]
Timeout = Annotated[float, Parameter(help="With --wait: seconds to wait; then exit status 124.")]


def _option(name: str, *, form: str = "", flag: str | None = None) -> Parameter:
    """Return a job option's parameter. Its help is that of `JobOptions`, after the form in which the command takes it."""
    return Parameter(name=flag, help=f"{form} {describe(name)}".lstrip())


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """Options of a job; None and () leave the default of `JobOptions`."""

    callback_url: Annotated[str | None, _option("callback_url")] = None
    callback_profile: Annotated[str | None, _option("callback_profile")] = None
    idempotency_key: Annotated[str | None, _option("idempotency_key")] = None
    tenant: Annotated[str | None, _option("tenant")] = None
    lane: Annotated[Literal["live", "bulk"] | None, _option("lane")] = None
    deadline: Annotated[
        timedelta | None,
        duration("Time limit from now (30s, 5m, 2h). A job not finished by then ends as EXPIRED. Default: none."),
    ] = None
    not_before: Annotated[datetime | None, _option("not_before", form="As 2030-03-01T06:00:00+00:00.")] = None
    delay: Annotated[timedelta | None, duration("Like --not-before, but from now (30s, 5m, 2h). Default: none.")] = None
    order_key: Annotated[str | None, _option("order_key")] = None
    batch_id: Annotated[str | None, _option("batch_id", flag="--batch")] = None
    model_version: Annotated[str | None, _option("model_version")] = None
    external_id: Annotated[str | None, _option("external_id")] = None
    case_id: Annotated[str | None, _option("case_id")] = None
    label: Annotated[tuple[str, ...], _option("labels", form="key=value; repeatable.")] = ()
    max_attempts: Annotated[int | None, _option("max_attempts")] = None

    def for_submitter(self) -> JobOptions:
        """Return the options that were given, as `Submitter` takes them. Raises UsageError."""
        if self.delay is not None and self.not_before is not None:
            raise UsageError("--delay and --not-before can't be combined.", next_step="Give one of them.")
        now = datetime.now(UTC)
        options = {
            **{field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("label", "delay")},
            "labels": pairs(self.label, "--label") or None,
            "deadline": None if self.deadline is None else now + self.deadline,
            "not_before": self.not_before if self.delay is None else now + self.delay,
        }
        return cast(JobOptions, {name: value for name, value in options.items() if value is not None})


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

    A job is accepted once Kafka has confirmed it. Then its id is printed, and the
    job will end in exactly one outcome. With --wait the exit status is that of the
    outcome: 0 completed, 3 failed, 4 cancelled or expired, 8 some of several jobs
    failed, 124 not finished in time (with --json as `"state": null`). It is 7 if
    the idempotency key was used before for a job with another input.

    For example:

        sluice submit echo --input '{"message": "hi"}' --wait
        sluice submit segmentation --file volume=scan.nii.gz --wait
        sluice submit echo --input jobs.jsonl --lane bulk --batch night-17
        sluice submit echo --input job.json --delay 2h
        sluice submit echo --input - --idempotency-key order-17 < job.json
        sluice submit echo --input job.json \\
            --callback-url http://localhost:8000/api/callback/
    """
    from schemas.contract import contract
    from streams.cli.inputs import read_inputs, with_files
    from streams.cli.unserved import say_if_unserved
    from streams.client.submitter import Submitter
    from streams.settings import load_settings

    chosen, settings = contract(processor), load_settings()
    inputs = with_files(settings, chosen, read_inputs(input_), file)
    if options.idempotency_key is not None and len(inputs) > 1:
        raise UsageError(
            f"{len(inputs)} jobs can't share one idempotency key.",
            next_step="Submit them one by one, each with its own key.",
        )
    with Submitter(settings, timeout_s=PATIENCE_S) as submitter:
        if wait:
            return _submit_and_wait(settings, submitter, chosen, inputs, options, timeout, json)
        if options.idempotency_key is not None:
            _check_key(settings, submitter, processor, inputs[0], options)
        _submit(submitter, processor, inputs, options, json)
    say_if_unserved(settings, chosen)
    return ExitCode.OK


def _check_key(
    settings: Settings, submitter: Submitter, processor: str, input_: dict[str, Any], options: SubmitOptions
) -> None:
    """Raise Conflict if an earlier job with the idempotency key had another input."""
    from schemas.errors import Unreachable

    job_id, input_sha256 = submitter.id_and_input_sha256(processor, input_, **options.for_submitter())
    try:
        _refuse_conflict(_stored(settings, job_id), job_id, input_sha256)
    except Unreachable as error:
        err(f"not checked whether the key was used with another input: {error.message}")


def _submit(
    submitter: Submitter, processor: str, inputs: Sequence[dict[str, Any]], options: SubmitOptions, as_json: bool
) -> None:
    """Submit, and print the ids once the jobs are accepted."""
    if len(inputs) == 1:
        accepted = submitter.submit(processor, inputs[0], **options.for_submitter())
        if as_json:
            out_json(accepted)
            return
        out(accepted.job_id)
        err(f"accepted: {accepted.topic}, partition {accepted.partition}, offset {accepted.offset}")
        return
    for job_id in _queue(submitter, processor, inputs, options):
        out_json({"job_id": job_id}, indent=None) if as_json else out(job_id)
    err(f"{len(inputs)} jobs accepted")


def _queue(submitter: Submitter, processor: str, inputs: Sequence[dict[str, Any]], options: SubmitOptions) -> list[str]:
    """Submit all; returns their ids once all are accepted."""
    _check_all(submitter, processor, inputs, options)
    with progress_bar("submitting", len(inputs)) as advance:
        job_ids = []
        for job_id in submitter.submit_many(processor, inputs, **options.for_submitter()):
            job_ids.append(job_id)
            advance()
    return job_ids


def _check_all(submitter: Submitter, processor: str, inputs: Sequence[dict[str, Any]], options: SubmitOptions) -> None:
    """Raise InvalidInput for the first of several inputs that would be refused, before any is submitted: submitting again
    after mending that line would double the others."""
    for number, input_ in enumerate(inputs if len(inputs) > 1 else (), 1):
        try:
            submitter.id_and_input_sha256(processor, input_, **options.for_submitter())
        except InvalidInput as error:
            raise InvalidInput(
                f"Input {number} of {len(inputs)}: {error.message}",
                next_step=f"Nothing was submitted. {error.next_step or 'Mend it and submit again.'}",
            ) from error


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
    from streams.cli.unserved import say_if_unserved
    from streams.client.outcomes import OutcomeWaiter

    with OutcomeWaiter(settings, contract) as waiter:
        job_ids = _queue(submitter, contract.name, inputs, options)
        if options.idempotency_key is not None:
            _, input_sha256 = submitter.id_and_input_sha256(contract.name, inputs[0], **options.for_submitter())
            if (code := _already_decided(settings, job_ids[0], input_sha256, as_json)) is not None:
                return code
        say_if_unserved(settings, contract)
        received = _wait(waiter, job_ids, timeout_s, as_json)
    if len(inputs) > 1 or len(received) < len(job_ids):
        err(outcomes.summary([outcome.state for outcome in received], len(job_ids)))
    if open_ids := sorted(set(job_ids) - {outcome.job_id for outcome in received}):
        for job_id in open_ids if as_json else ():
            missing = {"job_id": job_id, "processor": contract.name, "state": None}
            out_json(missing, indent=2 if len(job_ids) == 1 else None)
        err(f"not finished within {timeout_s:g} s; `sluice job {open_ids[0]}` shows its state")
    return outcomes.exit_code(received, len(job_ids))


def _wait(waiter: OutcomeWaiter, job_ids: Sequence[str], timeout_s: float, as_json: bool) -> list[Outcome]:
    """Print outcomes as they arrive; returns those that arrived in time."""
    from streams.cli import outcomes

    received = []
    with progress_bar("outcomes", len(job_ids)) as advance:
        for outcome in waiter.wait(job_ids, timeout_s):
            if as_json:
                out_json(outcomes.as_json(outcome), indent=2 if len(job_ids) == 1 else None)
            else:
                out(outcomes.as_text(outcome))
            received.append(outcome)
            advance()
    return received


def _already_decided(settings: Settings, job_id: str, input_sha256: str, as_json: bool) -> int | None:
    """Return the exit status of a job that was submitted with the same key and has ended; None if it is still open.

    Its outcome was published before, so waiting for it would last for ever. Raises Conflict if that job had another input.
    """
    from schemas.states import State
    from streams.cli.job import as_text
    from streams.client.outcomes import exit_code_of

    view = _stored(settings, job_id)
    _refuse_conflict(view, job_id, input_sha256)
    if view is None or not (state := State(view.state)).terminal:
        return None
    out_json(view) if as_json else out(as_text(view))
    err("this job was submitted before with the same idempotency key")
    return exit_code_of(state)


def _stored(settings: Settings, job_id: str) -> JobView | None:
    from streams import wiring

    with wiring.job_store(settings) as store:
        return store.job(job_id)


def _refuse_conflict(view: JobView | None, job_id: str, input_sha256: str) -> None:
    if view is not None and view.input_sha256 not in ("", input_sha256):
        raise Conflict(
            f"The idempotency key was used before, for job {job_id} with another input; no new job was made.",
            next_step=f"Use another key, or see the first job: sluice job {job_id}",
        )
