"""The settings of the HTTP gateway: the part of `streams.settings.Settings` whose names begin with `gateway_`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

#: Port of the gateway, where backends expect the inference service.
GATEWAY_PORT = 9000
#: Former port of the inference service. Settings and documents that were not changed still name it.
FORMER_PORT = 8001


class GatewaySettings(BaseSettings):
    #: Address where `sluice gateway` listens: host:port, port 0 for a free one. `sluice up` takes another port if it is in use,
    #: and says so.
    gateway_address: str = Field(f"127.0.0.1:{GATEWAY_PORT}", pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")
    #: token: every request needs a token of `sluice tokens create`. open: everyone is tenant `default` with every scope; for
    #: the local stack, which sets it.
    gateway_auth: str = Field("token", pattern="^(token|open)$")
    #: Jobs per second, on average, that each gateway accepts from a tenant without a quota of its own. None: no limit.
    gateway_jobs_per_s: float | None = Field(None, gt=0)
    #: Jobs that such a tenant may submit at once after a quiet time, at least 1. None: as many as in one second.
    gateway_burst: int | None = Field(None, ge=1)
    #: Accepted jobs of such a tenant that have not ended, at least 1. None: no limit.
    gateway_in_flight: int | None = Field(None, ge=1)
    #: MiB of a batch's or a lab machine's body, at least 1. Any other has 1 at most; files have a limit of their own.
    gateway_body_mib: int = Field(32, ge=1)
    #: Requests that a gateway serves at a time, streams included, at least 1. Further ones get 503.
    gateway_requests: int = Field(10_000, ge=1)
    #: Certificate chain and private key, PEM files. None: plain HTTP, for a proxy in front or this machine alone.
    gateway_tls_cert: Path | None = None
    gateway_tls_key: Path | None = None
    #: PEM file of the authorities whose client certificates are accepted; every client then needs one. None: none is asked for.
    gateway_tls_client_ca: Path | None = None
    #: True: each request is logged (method, route, status, time, tenant, job; no query and no body).
    gateway_access_log: bool = True
    #: True: the routes of brain tumour inference under /api/ai are served (docs/brain_tumour.md).
    gateway_brain_tumour: bool = False
    #: True: the routes of video analysis under /api/upload-video, and /health, are served (docs/video.md).
    gateway_video: bool = False
    #: Seconds from a film's acceptance to the end of its job, waiting included, which then fails with TIMEOUT_ERROR.
    gateway_video_deadline_s: float = Field(7200.0, gt=0, le=864_000)
    #: URL of the upload backend, where results of video analysis go if a request names none. Read as FASTAPI_BASE_URL, or
    #: SLUICE_FASTAPI_BASE_URL. "": such a request is refused.
    fastapi_base_url: str = Field(
        "",
        repr=False,
        validation_alias=AliasChoices("FASTAPI_BASE_URL", "SLUICE_FASTAPI_BASE_URL", "fastapi_base_url"),
    )
    #: True: the routes of research runs are served: /api/research, /api/task, /api/celery/health (docs/research.md).
    gateway_research: bool = False
    #: URL of a gateway, for clients and lab machines. "": the local stack's.
    gateway_url: str = Field("", repr=False)

    # ── the polling contract of old lab machines (docs/mri_lab.md) ──
    #: off: /api/mri is not served. networks: clients within SLUICE_GATEWAY_MRI_NETWORKS, without credentials. basic: clients
    #: with Basic credentials, a token's name and the token.
    gateway_mri: str = Field("off", pattern="^(off|networks|basic)$")
    #: Networks whose machines may use /api/mri, by the address that connects: `10.20.0.0/16,192.0.2.7`. Empty: with `basic`,
    #: all.
    gateway_mri_networks: Annotated[tuple[str, ...], NoDecode] = ()
    #: Tenant of clients that are let in by their network.
    gateway_mri_tenant: str = Field("default", min_length=1, max_length=256)
    #: True: POST …/segment/ starts jobs; false: it is refused. Read as USE_LOCAL_INFERENCE, or SLUICE_USE_LOCAL_INFERENCE.
    use_local_inference: bool = Field(
        False,
        validation_alias=AliasChoices("USE_LOCAL_INFERENCE", "SLUICE_USE_LOCAL_INFERENCE", "use_local_inference"),
    )
    #: Seconds for which a poll's request is kept for the client that polled, until it reports on it.
    gateway_mri_offer_s: float = Field(10.0, gt=0, le=300)
    #: Seconds from a worker's report to its completion, in between it is silent. Then another worker gets the request.
    gateway_mri_lease_s: float = Field(1800.0, gt=0, le=86_400)
    #: Requests of a tenant that may be open at a time, at least 1. Further starts get 429.
    gateway_mri_open: int = Field(1000, ge=1)
    #: JSON object: names of our fields → their names in the old system. Default: our names.
    gateway_mri_names: dict[str, str] = Field(default_factory=dict)

    @field_validator("gateway_mri_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        found = [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value
        if isinstance(found, list | tuple):
            for each in found:
                try:
                    ipaddress.ip_network(each)
                except ValueError:
                    raise ValueError("it takes networks such as 10.20.0.0/16 and addresses, by comma") from None
            return tuple(found)
        return found
