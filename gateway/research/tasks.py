"""Submits, awaits and reads research runs. A task is a job of `research`, and its id the job's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from connectors.views import JobStatus
from gateway.models import SubmitJob
from gateway.ports import Ports
from gateway.problems import Problem
from gateway.research.bodies import AcceptedTask, ResearchResult, ResearchTask
from schemas.contract import contract
from schemas.errors import ErrorCode, NotFound, StartupError, Unreachable
from schemas.ids import is_job_id
from schemas.states import TERMINAL, Custody, State
from streams.settings import Settings

PROCESSOR = "research"
#: Seconds of one wait for a run's end; between two it is seen whether the client is still there.
TURN_S = 2.0
#: Seconds within which the health route answers, of the five that clients allow.
HEALTH_S = 4.0
#: The first stage: a run that has begun and not reported yet is in it.
FIRST_STAGE = "Initializing workflow..."
NO_WORKER = "No worker of research runs. Start one: sluice worker research"

_STATUS: Mapping[str | None, int] = {
    ErrorCode.INVALID_INPUT: 422,
    ErrorCode.PAYLOAD_TOO_LARGE: 422,
    ErrorCode.TIMEOUT_ERROR: 504,
    ErrorCode.DEADLINE_EXCEEDED: 504,
}


def check(settings: Settings) -> None:
    """Raise StartupError if the door is open and nothing serves `research`."""
    if settings.gateway_research and PROCESSOR not in settings.served_processors:
        raise StartupError(
            f"SLUICE_GATEWAY_RESEARCH is on, and this installation does not serve {PROCESSOR!r}.",
            next_step=f"Name it in SLUICE_PROCESSORS: {','.join([*settings.served_processors, PROCESSOR])}.",
        )


async def submit(
    ports: Ports, tenant: str, query: str, constraints: Sequence[str] = (), key: str | None = None
) -> JobStatus:
    """Accept a run; return the one of before for a repeated `key`. Raises as `JobDoor.submit`."""
    job = SubmitJob(processor=PROCESSOR, input={"query": query, "constraints": list(constraints)})
    return (await ports.door.submit(tenant, job, key))[0]


async def accepted(ports: Ports, status: JobStatus) -> AcceptedTask:
    """Return the answer to a submit. It says so if no worker runs: the run then waits for one."""
    message = "Research has started. Ask for its state by the task_id."
    if await why_no_worker(ports) == NO_WORKER:
        message = f"Research was accepted and waits. {NO_WORKER}"
    return AcceptedTask(task_id=status.job_id, status="processing", message=message)


async def finished(
    ports: Ports, tenant: str, status: JobStatus, is_gone: Callable[[], Awaitable[bool]]
) -> ResearchResult | None:
    """Wait for a run's end and return its result; None once the client has gone. The run goes on without it.

    Raises Problem for a run that failed, or when the gateway stops; Unreachable.
    """
    while State(status.state) not in TERMINAL:
        if ports.stopping.is_set():
            raise Problem(
                503,
                "STOPPING",
                "The gateway is stopping; the run goes on.",
                next_step=f"Ask GET /api/task/{status.job_id} for its result.",
                retry_after_s=2,
                extra={"task_id": status.job_id},
            )
        if await is_gone():
            return None
        status = await ports.reader.ended(status.job_id, tenant, status.run, TURN_S)
    if State(status.state) is not State.COMPLETED:
        code = status.error_code or status.state
        raise Problem(_STATUS.get(code, 500), code, _error(status), extra={"task_id": status.job_id})
    return await _result(ports, status)


async def read(ports: Ports, tenant: str, task_id: str) -> ResearchTask:
    """Return a task. One that is unknown, another tenant's or another processor's is pending. Raises Unreachable."""
    status = await _known(ports, tenant, task_id)
    state = State.PENDING if status is None else State(status.state)
    if status is None or state is State.PENDING:
        return ResearchTask(task_id=task_id, status="pending", message="The task waits, or there is none with this id.")
    if state is State.COMPLETED:
        return ResearchTask(task_id=task_id, status="success", result=await _result(ports, status))
    if state in TERMINAL:
        return ResearchTask(
            task_id=task_id, status="failure", error=_error(status), error_code=status.error_code or status.state
        )
    message = "Waiting for another attempt..." if state is State.RETRYING else status.message or FIRST_STAGE
    return ResearchTask(task_id=task_id, status="progress", message=message, progress=status.percent)


async def why_no_worker(ports: Ports) -> str | None:
    """Return why no worker is known to run; None if one does. Answers within HEALTH_S seconds."""
    try:
        async with asyncio.timeout(HEALTH_S):
            if ports.settings.custody(contract(PROCESSOR)) is Custody.LEASE:
                alive = len(await ports.lab.leases.call(lambda store: store.live_workers(PROCESSOR)))
            else:
                alive = ports.admission.queues.workers(PROCESSOR) or 0
    except Unreachable as error:
        return error.message
    except TimeoutError:
        return f"The database did not answer within {HEALTH_S:g} s."
    return None if alive else NO_WORKER


def no_worker(why: str) -> Problem:
    """Return the error of a run that would wait for a worker while its client waits for it."""
    return Problem(
        503,
        "NO_WORKER",
        why,
        next_step="POST /api/research/async accepts runs that wait.",
        retry_after_s=5,
    )


async def _known(ports: Ports, tenant: str, task_id: str) -> JobStatus | None:
    if not is_job_id(task_id):
        return None
    try:
        status = await ports.reader.status(task_id, tenant)
    except NotFound:
        return None
    return status if status.processor == PROCESSOR else None


async def _result(ports: Ports, status: JobStatus) -> ResearchResult:
    """Return the result of a completed run. Raises NotFound if it was deleted meanwhile."""
    view = await ports.jobs.call(lambda store: store.job(status.job_id, status.run))
    if view is None or view.output is None:
        raise NotFound("The result is no longer stored.", next_step="Start another run.")
    return ResearchResult.model_validate(view.output)


def _error(status: JobStatus) -> str:
    return status.error_message or f"The run is {status.state}."
