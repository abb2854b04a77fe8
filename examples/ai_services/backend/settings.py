"""The settings. Each is an environment variable; README.md lists them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`backend_url`: this backend, as sluice and its workers reach it. `callback_secret`: None means that callbacks are not
    verified."""

    database_url: str
    gateway_url: str = "http://localhost:9000"
    gateway_token: str | None = None
    backend_url: str = "http://localhost:8000"
    callback_secret: str | None = None
    data: Path = Path("data")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises RuntimeError if a variable is missing."""
        if not (database_url := environment.get("BACKEND_DATABASE_URL")):
            raise RuntimeError("Set BACKEND_DATABASE_URL, such as postgresql://user:password@localhost:5432/backend.")
        return cls(
            database_url,
            environment.get("SLUICE_GATEWAY_URL", cls.gateway_url).rstrip("/"),
            environment.get("SLUICE_GATEWAY_TOKEN") or None,
            environment.get("BACKEND_URL", cls.backend_url).rstrip("/"),
            environment.get("SLUICE_CALLBACK_SECRETS") or None,
            Path(environment.get("BACKEND_DATA", str(cls.data))),
        )
