"""The JSON that others speak: the front end polls inferences, sluice reports the end of each."""

from __future__ import annotations

import json

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from ai import callbacks, door
from ai.models import Inference, Model, Patient


@csrf_exempt
@require_http_methods(["GET", "POST"])
@transaction.non_atomic_requests  # the row is committed before sluice knows of it, because the callback needs it
def inferences(request: HttpRequest) -> JsonResponse:
    """List inferences, or start one of M1 or MG: a form of model, patient_id and file. MM: chosen as a JSON object."""
    if request.method == "GET":
        rows = Inference.objects.select_related("patient").prefetch_related("files").order_by("-pk")[:100]
        return JsonResponse({"inferences": [each.as_json() for each in rows]})
    model, file = request.POST.get("model"), request.FILES.get("file")
    patient = Patient.objects.filter(patient_id=request.POST.get("patient_id", "")).first()
    if model not in Model or patient is None or (file is None) != (model == Model.MM):
        return _refused(
            400, "Send `model` M1 or MG with `file`, or MM with `chosen`, and the `patient_id` of a patient."
        )
    try:
        chosen = json.loads(request.POST.get("chosen", "{}"))
        inference = door.start(patient, Model(model), file=file, chosen=chosen)
    except ValueError:
        return _refused(400, "`chosen` must be a JSON object.")
    except door.Unavailable as error:
        return _refused(503, str(error))
    return JsonResponse(inference.as_json(), status=202)


@require_GET
def inference(request: HttpRequest, number: int) -> JsonResponse:
    row = get_object_or_404(Inference.objects.select_related("patient"), pk=number)
    door.refresh(row)
    return JsonResponse(row.as_json())


@csrf_exempt
@require_POST
def callback(request: HttpRequest) -> HttpResponse:
    """204: stored, now or before. 400, 401, 404: refused, and sluice does not send it again by itself."""
    try:
        if settings.CALLBACK_SECRET:
            callbacks.verify(request.headers, request.body, settings.CALLBACK_SECRET)
        body = json.loads(request.body)
        webhook_id = request.headers.get("webhook-id", "")
        if not isinstance(body, dict) or not webhook_id:
            raise callbacks.Refused(400, "Send a JSON object and the header `webhook-id`.")
        callbacks.store(webhook_id, body)
    except callbacks.Refused as refused:
        return _refused(refused.status, refused.message)
    except ValueError:
        return _refused(400, "The body is not JSON.")
    return HttpResponse(status=204)


def _refused(status: int, message: str) -> JsonResponse:
    return JsonResponse({"error": message}, status=status)
