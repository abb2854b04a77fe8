"""Callbacks in a Django view. Imports Django when a view is decorated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from sluice_client.callbacks import TOLERANCE_S, Callback, refusal, verify
from sluice_client.errors import BadSignature, UsageError

View: TypeAlias = Callable[..., Any]


def sluice_callback(
    secrets: str | Sequence[str] | None = None, *, tolerance_s: float = TOLERANCE_S
) -> Callable[[View], View]:
    """Return a decorator for a view that takes `(request, callback, …)` and is called only with verified callbacks.

    Exempt from CSRF: the signature stands for it. Other methods than POST get 405, and bad signatures 401. Without
    usable secrets every callback answers 500, and the log says why. A view that returns
    None answers 204. Django limits bodies by DATA_UPLOAD_MAX_MEMORY_SIZE (2.5 MB); raise it if callbacks carry files.

        @sluice_callback()
        def done(request, callback):
            Inference.objects.filter(job_id=callback.data["job_id"]).update(state=callback.data["status"])
    """
    http = import_module("django.http")
    exempt: Callable[[View], View] = import_module("django.views.decorators.csrf").csrf_exempt

    def checked(request: Any) -> Callback | Any:
        if request.method != "POST":
            return http.HttpResponseNotAllowed(["POST"])
        try:
            return verify(request.headers, request.body, secrets, tolerance_s=tolerance_s)
        except (BadSignature, UsageError) as error:
            status, detail = refusal(error)
            return http.JsonResponse({"detail": detail}, status=status)

    def answer(response: Any) -> Any:
        return http.HttpResponse(status=204) if response is None else response

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def plain(request: Any, *args: Any, **kwargs: Any) -> Any:
            callback = checked(request)
            return answer(view(request, callback, *args, **kwargs)) if isinstance(callback, Callback) else callback

        @functools.wraps(view)
        async def asynchronous(request: Any, *args: Any, **kwargs: Any) -> Any:
            callback = checked(request)
            return (
                answer(await view(request, callback, *args, **kwargs)) if isinstance(callback, Callback) else callback
            )

        return exempt(asynchronous if iscoroutinefunction(view) else plain)

    return decorate
