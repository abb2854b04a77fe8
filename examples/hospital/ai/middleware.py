"""Tells browsers to load nothing from elsewhere: the pages work without a network, and show patients' data."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


def only_own_resources(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django's protocol of a middleware: return a view that adds the header."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    return respond
