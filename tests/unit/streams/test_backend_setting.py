"""The backend that stands for localhost in callbacks, by its setting and by the names that older backends' files have."""

from __future__ import annotations

import pytest

from connectors.callbacks.resolve import resolve_callback_url
from streams.settings import Settings

CALLBACK = "http://localhost:8000/api/ai/callback/"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLUICE_BACKEND_URL", "DJANGO_URL", "MAIN_VM_IP"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "resolved"),
    [
        ({}, CALLBACK),
        ({"DJANGO_URL": "", "MAIN_VM_IP": ""}, CALLBACK),
        ({"DJANGO_URL": "http://host.docker.internal:8000"}, "http://host.docker.internal:8000/api/ai/callback/"),
        ({"DJANGO_URL": ' "http://web:8000/cdss/" '}, "http://web:8000/cdss/api/ai/callback/"),
        ({"MAIN_VM_IP": "34.64.1.2"}, "http://34.64.1.2:8000/api/ai/callback/"),
        ({"MAIN_VM_IP": "2001:db8::7"}, "http://[2001:db8::7]:8000/api/ai/callback/"),
        ({"MAIN_VM_IP": "34.64.1.2", "DJANGO_URL": "http://web:8000"}, "http://web:8000/api/ai/callback/"),
        ({"DJANGO_URL": "http://web:8000", "SLUICE_BACKEND_URL": "http://new"}, "http://new/api/ai/callback/"),
    ],
)
def test_localhost_means_the_backend_that_the_environment_names(
    environment: dict[str, str], resolved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve_callback_url(CALLBACK, Settings().backend) == resolved
