"""The inputs of MM: chosen by a person, all of one patient. Results and biomarker orders are never joined across patients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.job_store import JobFilter
from connectors.views import JobStatus
from gateway.brain_tumour.bodies import BiomarkerOrder, FinishedInference, InferenceFields, MultimodalInputs
from gateway.brain_tumour.catalogue import BIOMARKER, M1, MG, TumourModel, job_id_of
from gateway.ports import Ports
from gateway.problems import Problem
from schemas.errors import InvalidInput, NotFound
from schemas.ids import is_job_id
from schemas.plain import to_plain
from schemas.records import Upload
from schemas.states import State

#: A biomarker order that MM may use has one of these values under each label.
ELIGIBLE: Mapping[str, tuple[str, ...]] = {
    "job_role": ("LIS",),
    "job_type": ("BIOMARKER",),
    "ocs_status": ("CONFIRMED", "RESULT_READY"),
}
#: The field of each output that MM takes, and the input that it becomes.
_FROM_M1 = ("lesion_volume_mm3", "mri_volume_mm3")
_FROM_MG = ("risk", "gene_probability")
#: Newest results of each model, and newest orders, that are listed.
MOST_LISTED = 100
_CHOOSE = "GET /api/ai/patients/{patient_id}/mm-inputs/ lists what can be chosen."


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A completed inference that a person chose: the request's field, its model, and the value that MM takes from it."""

    field: str
    model: TumourModel
    output: str
    input: str


_CHOICES = (_Chosen("m1_ai_req_id", M1, *_FROM_M1), _Chosen("mg_ai_req_id", MG, *_FROM_MG))


def why_not_eligible(order: Upload) -> str | None:
    """Return the label for which MM can't use a biomarker order; None if it can."""
    if order.kind != BIOMARKER:
        return "kind"
    return next((name for name, values in ELIGIBLE.items() if order.labels.get(name) not in values), None)


async def listing(ports: Ports, tenant: str, patient_id: str) -> MultimodalInputs:
    """Return what MM may use for a patient; empty lists for an unknown one. Raises Unreachable."""
    orders = await ports.uploads.store.call(
        lambda store: store.of_case(tenant, patient_id, BIOMARKER, limit=MOST_LISTED, labels=ELIGIBLE)
    )
    return MultimodalInputs(
        patient_id=patient_id,
        m1=await _finished(ports, tenant, patient_id, M1),
        mg=await _finished(ports, tenant, patient_id, MG),
        biomarkers=[_order(order) for order in orders],
    )


async def _finished(ports: Ports, tenant: str, patient_id: str, model: TumourModel) -> list[FinishedInference]:
    wanted = JobFilter(tenant, State.COMPLETED, model.processor, patient_id)
    return [
        FinishedInference(ai_req_id=found.external_id, finished_at=found.finished_at)
        for found in await ports.reader.statuses(wanted, MOST_LISTED)
        if found.external_id is not None and found.job_id == job_id_of(tenant, found.external_id)
    ]


def _order(order: Upload) -> BiomarkerOrder:
    return BiomarkerOrder(
        upload_id=order.upload_id,
        filename=order.filename,
        created_at=order.created_at,
        **{name: order.labels[name] for name in ELIGIBLE},
    )


async def chosen_inputs(
    ports: Ports, tenant: str, asked: InferenceFields, find_order: Callable[[], Awaitable[Upload | None]]
) -> dict[str, Any]:
    """Return MM's input from the inferences that a request names and its biomarker order; each may be missing, but not all.

    `find_order` returns the order. It is called last, because it may store a file.
    Raises InvalidInput, Problem 422 for another patient's or an ineligible one, Problem 409 for one that has not ended.
    """
    inputs: dict[str, Any] = {}
    for choice in _CHOICES:
        if (ai_req_id := getattr(asked, choice.field)) is not None:
            inputs[choice.input] = await _value(ports, tenant, asked.patient_id, ai_req_id, choice)
    if (order := await find_order()) is not None:
        check_patient(order.case_id, asked.patient_id, "biomarker order")
        if (label := why_not_eligible(order)) is not None:
            needs = " or ".join((BIOMARKER,) if label == "kind" else ELIGIBLE[label])
            raise Problem(
                422,
                "NOT_ELIGIBLE",
                f"The biomarker order can't be used: its {label} is not {needs}.",
                next_step=_CHOOSE,
            )
        inputs["proteins"] = to_plain(order.claim)
    if not inputs:
        raise InvalidInput(
            "MM needs at least one of m1_ai_req_id, mg_ai_req_id and biomarker_upload_id.", next_step=_CHOOSE
        )
    return inputs


async def _value(ports: Ports, tenant: str, patient_id: str, ai_req_id: str, choice: _Chosen) -> float:
    """Return what MM takes from a completed inference of the patient."""
    status = await _chosen_status(ports, tenant, ai_req_id, choice)
    check_patient(status.case_id, patient_id, f"inference of {choice.field}")
    view = await ports.jobs.call(lambda store: store.job(status.job_id, status.run))
    if view is None or State(view.state) is not State.COMPLETED:
        raise Problem(
            409,
            "NOT_FINISHED",
            f"The inference of {choice.field} is {status.state}; MM takes completed ones.",
            next_step=_CHOOSE,
        )
    value = (view.output or {}).get(choice.output)
    if not isinstance(value, int | float):
        raise InvalidInput(
            f"The inference of {choice.field} has no single {choice.output}.",
            next_step="For MG, name the sample: a table with several samples has no risk of one patient.",
        )
    return float(value)


async def _chosen_status(ports: Ports, tenant: str, ai_req_id: str, choice: _Chosen) -> JobStatus:
    try:
        status = await ports.reader.status(job_id_of(tenant, ai_req_id), tenant)
    except NotFound:
        status = None
    if status is None or status.processor != choice.model.processor:
        raise InvalidInput(f"{choice.field} names no inference of {choice.model.name}.", next_step=_CHOOSE)
    return status


def check_patient(owner: str | None, patient_id: str, what: str) -> None:
    """Raise Problem 422 unless the case of a result or file is this patient. The other patient is not named."""
    if owner != patient_id:
        raise Problem(
            422,
            "OTHER_PATIENT",
            f"The {what} is not of this patient.",
            next_step="Inputs are never joined across patients: choose those of this one.",
        )


async def upload_of(ports: Ports, tenant: str, upload_id: str, field: str) -> Upload:
    """Return an accepted upload of the tenant. Raises InvalidInput."""
    found = None
    if is_job_id(upload_id):
        found = await ports.uploads.store.call(lambda store: store.get(tenant, upload_id))
    if found is None:
        raise InvalidInput(f"{field} names no upload.", next_step="Upload the file with POST /v1/uploads.")
    return found
