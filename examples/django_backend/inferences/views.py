"""The HTTP contract: the front end uploads a sheet and polls for the digits; sluice reports the end of each job."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from sluice_client import Callback, SluiceError
from sluice_client.django import sluice_callback

from inferences import jobs
from inferences.models import OPEN, Inference


@csrf_exempt
@require_POST
@transaction.non_atomic_requests  # the row is committed before the submit, because the callback needs it
def create(request: HttpRequest) -> JsonResponse:
    if "sheet" not in request.FILES:
        return JsonResponse({"error": "Send a file as `sheet`."}, status=400)
    sheet = request.FILES["sheet"]
    inference = Inference.objects.create(filename=sheet.name)
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "sheet.csv"
            with path.open("wb") as file:
                shutil.copyfileobj(sheet, file)
            job_id = jobs.start(inference, path)
    except SluiceError:
        inference.delete()
        return JsonResponse({"error": "Sheets can't be read now. Try again later."}, status=503)
    Inference.objects.filter(pk=inference.pk).update(job_id=job_id)
    return JsonResponse(inference.as_json(), status=202)


@require_GET
def show(request: HttpRequest, number: int) -> JsonResponse:
    inference = get_object_or_404(Inference, pk=number)
    if inference.status in OPEN:
        with suppress(SluiceError):  # then the row shows what is known here
            jobs.refresh(inference)
    return JsonResponse(inference.as_json())


@sluice_callback()
def callback(request: HttpRequest, callback: Callback) -> None:
    jobs.on_callback(callback.data)
