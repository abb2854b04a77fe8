"""The settings of callbacks: the part of `streams.settings.Settings` that says where they go, and in which shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode

#: Port of a Django backend that gets callbacks, where a setting names only its host.
BACKEND_PORT = 8000


class CallbackSettings(BaseSettings):
    #: URL that replaces http://localhost:PORT in callbacks, e.g. http://host.docker.internal:8000; its path stays as a prefix.
    #: "": DJANGO_URL, else MAIN_VM_IP, else no replacement.
    backend_url: str = Field("", repr=False)
    #: The same under its old name. "": not set.
    django_url: str = Field("", repr=False, validation_alias=AliasChoices("DJANGO_URL", "django_url"))
    #: Host of a backend on port 8000, under its old name: stands for http://MAIN_VM_IP:8000. "": not set.
    main_vm_ip: str = Field("", repr=False, validation_alias=AliasChoices("MAIN_VM_IP", "main_vm_ip"))
    #: Hosts and networks that callbacks may reach besides public addresses: `localhost,10.0.0.0/8,*.corp.example`.
    #: Empty: none; on the local stack, this machine.
    callback_allow: Annotated[tuple[str, ...], NoDecode] = ()
    #: Secrets that sign callbacks, newest first (whsec_… or base64); two while a key is rotated. Empty: unsigned.
    callback_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    #: Seconds that one callback request may take.
    callback_timeout_s: float = Field(10.0, gt=0)
    #: TOML file of callback profiles, or a folder of such files: bodies in a backend's own shape (docs/callbacks.md). None: the
    #: standard event for all.
    callback_shapes: Path | None = None
    #: Upper limit of concurrent callback requests to one destination, at least 1. A notifier makes four times as many at most.
    callback_connections: int = Field(64, ge=1)
    #: Where callbacks are sent. inline: on a thread of the sink. service: in `sluice notify`, a process of its own.
    notify: str = Field("inline", pattern="^(inline|service)$")

    @property
    def backend(self) -> str | None:
        """Return the URL that stands for localhost in callbacks: SLUICE_BACKEND_URL, else DJANGO_URL, else MAIN_VM_IP at port
        8000. None: callbacks are sent to the URL that the job has."""
        django, host = (value.strip().strip("'\"") for value in (self.django_url, self.main_vm_ip))
        host = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
        return self.backend_url or django or (f"http://{host}:{BACKEND_PORT}" if host else None)
