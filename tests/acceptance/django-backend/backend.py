"""A Django backend in one file, for the interpreter of an environment with Django and the client.

Reads requests as JSON lines; prints the status of each, and the callbacks that its views have seen.
"""

import asyncio
import json
import sys

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from sluice_client import Callback
from sluice_client.django import sluice_callback

settings.configure(
    SECRET_KEY="only for this test",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()
seen: list[object] = []


@sluice_callback()
def plain(request: HttpRequest, callback: Callback, place: str) -> None:
    seen.append([place, callback.id, callback.data])


@sluice_callback()
async def asynchronous(request: HttpRequest, callback: Callback, place: str) -> HttpResponse:
    seen.append([place, callback.id, callback.data])
    return HttpResponse("stored", status=200)


urlpatterns = [path("plain/<place>/", plain), path("async/<place>/", asynchronous)]


def answer(request: dict[str, str | dict[str, str]]) -> int:
    options = {"data": request["body"], "content_type": "application/json", "headers": request["headers"]}
    url, method = str(request["url"]), str(request["method"])
    if url.startswith("/async/"):
        return int(asyncio.run(getattr(AsyncClient(enforce_csrf_checks=True), method)(url, **options)).status_code)
    return int(getattr(Client(enforce_csrf_checks=True), method)(url, **options).status_code)


statuses = [answer(json.loads(line)) for line in sys.stdin]
print(json.dumps({"statuses": statuses, "seen": seen}))
