"""The pages of system 1: patients, inferences and their states, a result with its pictures, and slices of the volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from ai import charts, door
from ai import slices as drawing
from ai.models import BiomarkerOrder, Inference, Model, Patient, ResultFile, Status
from ai.next_steps import next_step

#: Models that take a file: title, and file names.
FILE_MODELS = (
    (Model.M1, "M1: MR volume", ".nii,.gz,.zip"),
    (Model.MG, "MG: gene expression", ".csv,.tsv,.txt"),
)
#: Slices never change: their address names the inference and the time of its outcome.
KEPT = "private, max-age=31536000, immutable"


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    rows = Inference.objects.select_related("patient").order_by("-pk")[:200]
    return render(request, "ai/index.html", {"inferences": rows, "patients": Patient.objects.order_by("patient_id")})


@require_GET
def patient(request: HttpRequest, patient_id: str) -> HttpResponse:
    return _patient_page(request, get_object_or_404(Patient, patient_id=patient_id))


def _patient_page(request: HttpRequest, found: Patient, problem: str = "") -> HttpResponse:
    """Show a patient, and what went wrong with the last request, if anything did."""
    inputs = door.mm_inputs(found)
    context = {
        "patient": found,
        "problem": problem,
        "inferences": found.inferences.order_by("-pk"),
        "orders": found.orders.order_by("-pk"),
        "file_models": FILE_MODELS,
        "choices": _choices(found, inputs),
        "listed": inputs is not None,
    }
    return render(request, "ai/patient.html", context, status=503 if problem else 200)


def _choices(found: Patient, inputs: dict[str, Any] | None) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return name, title and options of MM's inputs: as sluice lists them for the patient, else from the rows here."""
    if inputs is None:
        done = found.inferences.filter(status=Status.COMPLETED).order_by("-pk")
        m1, mg = (
            [(row.ai_req_id, row.ai_req_id) for row in done.filter(model=model)] for model in (Model.M1, Model.MG)
        )
        orders = [
            (row.upload_id, row.ocs_status) for row in found.orders.order_by("-pk") if row.eligible and row.upload_id
        ]
    else:
        m1, mg = ([(each["ai_req_id"], each["ai_req_id"]) for each in inputs[name]] for name in ("m1", "mg"))
        orders = [(each["upload_id"], each["ocs_status"]) for each in inputs["biomarkers"]]
    return list(zip(door.CHOICES, ("M1 result", "MG result", "Proteins"), (m1, mg, orders), strict=True))


@require_POST
def add_order(request: HttpRequest, patient_id: str) -> HttpResponse:
    """Keep a laboratory's order, and send its table to sluice as an upload of kind `biomarker`."""
    found = get_object_or_404(Patient, patient_id=patient_id)
    fields = {name: request.POST.get(name, "")[:16] for name in ("job_role", "job_type", "ocs_status")}
    if "table" not in request.FILES or not all(fields.values()):
        return HttpResponse("Send job_role, job_type, ocs_status and a table.", status=400, content_type="text/plain")
    order = BiomarkerOrder.objects.create(patient=found, table=request.FILES["table"], **fields)
    try:
        door.send_order(order)
    except door.Unavailable as error:
        return _patient_page(request, found, str(error))
    return redirect("patient", patient_id)


@require_POST
@transaction.non_atomic_requests
def start(request: HttpRequest, patient_id: str) -> HttpResponse:
    found, model = get_object_or_404(Patient, patient_id=patient_id), request.POST.get("model")
    file = request.FILES.get("file")
    if model not in Model or (file is None) != (model == Model.MM):
        return HttpResponse("Choose a model, and a file for M1 and MG.", status=400, content_type="text/plain")
    chosen = {name: request.POST[name] for name in door.CHOICES if request.POST.get(name)}
    try:
        row = door.start(found, Model(model), file=file, chosen=chosen if model == Model.MM else {})
    except door.Unavailable as error:
        return _patient_page(request, found, str(error))
    return redirect("inference", row.pk)


@require_GET
def inference(request: HttpRequest, number: int) -> HttpResponse:
    row = get_object_or_404(Inference.objects.select_related("patient"), pk=number)
    context = {
        "inference": row,
        "files": row.files.all(),
        "pictures": [each for each in row.files.all() if each.picture],
        "figures": charts.figures(row.result),
        "bars": charts.bars(row),
        "next_step": next_step(row.error_code) if row.status == Status.FAILED else "",
        "callbacks": row.callbacks.order_by("received_at"),
        "viewer_address": reverse("slices", args=[row.pk]),
        "viewer_version": int(row.finished_at.timestamp() * 1000) if row.finished_at else 0,
        "can_view": row.model == Model.M1 and row.input and row.status == Status.COMPLETED,
    }
    return render(request, "ai/inference.html", context)


@require_GET
def slices(request: HttpRequest, number: int) -> JsonResponse:
    """Return what the viewer needs to know of the volume."""
    try:
        return JsonResponse(_volume(number).about())
    except drawing.CannotShow as problem:
        return JsonResponse({"error": str(problem)}, status=422)


@require_GET
def slice_picture(_: HttpRequest, number: int, view: str, layer: str, index: int) -> HttpResponse:
    return picture_of(lambda: _volume(number), view, layer, index)


def picture_of(volume: Any, view: str, layer: str, index: int) -> HttpResponse:
    """Return the PNG of a slice of `volume()`."""
    if view not in drawing.VIEWS or layer not in ("volume", "mask"):
        raise Http404
    try:
        content = volume().picture(view, index, layer)
    except (drawing.CannotShow, IndexError):
        raise Http404 from None
    return HttpResponse(content, content_type="image/png", headers={"Cache-Control": KEPT})


@require_GET
def file(_: HttpRequest, number: int) -> HttpResponse:
    """Return a file of a result. Only pictures are shown in the page; everything else is saved."""
    row = get_object_or_404(ResultFile, pk=number)
    return FileResponse(row.content.open("rb"), as_attachment=not row.picture, filename=row.name)


def _volume(number: int) -> drawing.Volume:
    row = get_object_or_404(Inference, pk=number, model=Model.M1)
    if not row.input:
        raise drawing.CannotShow("The volume is not kept here, so there are no slices to show.")
    mask = row.file(begins="mask", ends=".nii.gz")
    return drawing.nifti_volume(Path(row.input.path), Path(mask.content.path) if mask else None)
