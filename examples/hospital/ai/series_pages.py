"""The pages of system 2: requests for segmentations of MR series, a button that starts one, and slices with the result."""

from __future__ import annotations

import re
from typing import Any

import requests
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from ai import charts, orthanc
from ai import slices as drawing
from ai.pages import picture_of

#: Orthanc's ids and DICOM UIDs.
_ID = re.compile(r"[0-9A-Za-z.\-]{1,64}")


@require_GET
def requests_page(request: HttpRequest) -> HttpResponse:
    return _requests_page(request)


def _requests_page(request: HttpRequest, problem: str = "") -> HttpResponse:
    answer = _ask("GET", "/requests/")
    rows = [
        {
            "id": each.get("request_id") or each.get("id"),
            "series_id": str(each.get("series_id") or "-"),
            "status": str(each.get("status") or ""),
            "created_at": each.get("created_at"),
        }
        for each in _rows(answer)
    ]
    problem = problem or ("" if answer.get("success") else _message(answer))
    return render(request, "ai/mri.html", {"rows": rows, "problem": problem}, status=502 if problem else 200)


@require_GET
def requests_json(_: HttpRequest) -> JsonResponse:
    """Pass on what sluice lists, for the page: it polls once a second."""
    return JsonResponse(_ask("GET", "/requests/"))


@require_POST
def segment(request: HttpRequest, series_id: str) -> HttpResponse:
    """Start the segmentation of a series. The form may name it, so that the button needs no address of its own."""
    series_id = request.POST.get("series_id", "").strip() if series_id == "-" else series_id
    if not _ID.fullmatch(series_id):
        return HttpResponse(
            "The id of the series has other characters than an id.", status=400, content_type="text/plain"
        )
    answer = _ask("POST", f"/series/{series_id}/segment/")
    if not answer.get("success"):
        return _requests_page(request, _message(answer))
    return redirect("mri")


@require_GET
def series(request: HttpRequest, series_id: str) -> HttpResponse:
    found = next((each for each in _listed() if str(each.get("series_id")) == _checked(series_id)), None)
    try:
        version = orthanc.segmentation_of(series_id) if found else ""
    except drawing.CannotShow:
        version = ""  # the viewer says why
    context = {
        "series_id": series_id,
        "found": found,
        "facts": charts.figures(found or {}),
        "viewer_address": reverse("series-slices", args=[series_id]),
        "viewer_version": version,
    }
    return render(request, "ai/series.html", context)


@require_GET
def slices(request: HttpRequest, series_id: str) -> JsonResponse:
    try:
        return JsonResponse(_volume(request, series_id).about())
    except drawing.CannotShow as problem:
        return JsonResponse({"error": str(problem)}, status=422)


@require_GET
def slice_picture(request: HttpRequest, series_id: str, view: str, layer: str, index: int) -> HttpResponse:
    return picture_of(lambda: _volume(request, series_id), view, layer, index)


def _volume(request: HttpRequest, series_id: str) -> drawing.Volume:
    """Return the series with the segmentation that the address names as `v`; without, with the newest one."""
    series_id, version = _checked(series_id), request.GET.get("v", "")
    return orthanc.series_volume(series_id, _checked(version) if version else orthanc.segmentation_of(series_id))


def _listed() -> list[dict[str, Any]]:
    return _rows(_ask("GET", "/requests/"))


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in answer.get("requests") or () if isinstance(each, dict)]


def _checked(series_id: str) -> str:
    if not _ID.fullmatch(series_id):
        raise Http404
    return series_id


def _ask(method: str, path: str) -> dict[str, Any]:
    """Ask the old system's contract; it answers JSON always, also on errors."""
    try:
        body = requests.request(method, f"{settings.INFERENCE_URL}/api/mri/segmentation{path}", timeout=5).json()
    except requests.RequestException:
        return {"success": False, "error": "The inference service does not answer.", "requests": []}
    return (
        body if isinstance(body, dict) else {"success": False, "error": "The answer has another shape.", "requests": []}
    )


def _message(answer: dict[str, Any]) -> str:
    said = answer.get("error") or answer.get("message")
    return str(said.get("message") if isinstance(said, dict) else said or "It was refused.")
