"""The settings of a lab machine under the old worker's names, and the engine's settings that they stand for.

The processor reads the other five itself: ORTHANC_URL, ORTHANC_USER, ORTHANC_PASSWORD, MODEL_PATH and THRESHOLD.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import UsageError
from streams.settings import Settings


class LabSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    #: URL of the old API, http://NAME:TOKEN@HOST/api/mri: jobs come from the gateway at its origin, and TOKEN lets this machine
    #: in. SLUICE_WORKER_GATEWAY, SLUICE_GATEWAY_TOKEN and SLUICE_GATEWAY_TOKEN_FILE go before its parts. "": not set.
    django_api_url: SecretStr = SecretStr("")
    #: cpu, cuda or cuda:N. cuda and cuda:0 fall back to the CPU where CUDA does not work. "": SLUICE_DEVICE.
    device: str = ""
    #: Seconds between two polls of the old worker. Not needed: a job is handed out as soon as it is there.
    poll_interval: str = Field("")


def machine_settings(old: LabSettings, settings: Settings) -> Settings:
    """Return the engine's settings for a lab machine. Raises UsageError if they name no gateway."""
    changes: dict[str, object] = {}
    if not settings.worker_gateway:
        changes["worker_gateway"], token = _gateway(old.django_api_url.get_secret_value())
        if token and not settings.gateway_secret:
            changes["gateway_token"] = SecretStr(token)
    if old.device:
        # auto: CUDA if a kernel runs on it, else the CPU, and each result says why.
        changes["device"] = "auto" if re.fullmatch(r"cuda(:0)?", old.device) else old.device
    return settings.model_copy(update=changes)


def _gateway(url: str) -> tuple[str, str]:
    """Return the origin of DJANGO_API_URL, and the token in it. Raises UsageError, which never repeats the URL."""
    if not url:
        raise UsageError(
            "DJANGO_API_URL is not set, so there is no gateway to get jobs from.",
            next_step="Set it, for example to https://lab1:TOKEN@sluice.example.org/api/mri. Beside Kafka, run `sluice worker "
            "mri-lab` instead.",
        )
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
        usable = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            "DJANGO_API_URL is not an http:// or https:// URL.",
            next_step="Set it, for example to https://lab1:TOKEN@sluice.example.org/api/mri.",
        )
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}{port}", unquote(parts.password or "")
