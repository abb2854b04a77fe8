"""The only reader of the environment in this package."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses and secrets. An argument of `Client` or `verify` goes before the setting of the same meaning."""

    #: SLUICE_GATEWAY_URL, such as https://sluice.example. No default.
    gateway_url: str = ""
    #: SLUICE_GATEWAY_TOKEN. Default: none, for a gateway that is open (the local stack).
    gateway_token: str = field(default="", repr=False)
    #: SLUICE_CALLBACK_SECRETS, separated by commas, newest first. The same as the installation's.
    callback_secrets: tuple[str, ...] = field(default=(), repr=False)
    #: KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL and SLUICE_TOPIC_PREFIX, for `sluice_client.kafka` alone.
    bootstrap_servers: str = ""
    registry_url: str = field(default="", repr=False)
    topic_prefix: str = ""

    @classmethod
    def from_environment(cls) -> Settings:
        secrets = os.environ.get("SLUICE_CALLBACK_SECRETS", "")
        return cls(
            os.environ.get("SLUICE_GATEWAY_URL", ""),
            os.environ.get("SLUICE_GATEWAY_TOKEN", ""),
            tuple(secret for part in secrets.split(",") if (secret := part.strip())),
            os.environ.get("KAFKA_BOOTSTRAP_SERVERS", ""),
            os.environ.get("SCHEMA_REGISTRY_URL", ""),
            os.environ.get("SLUICE_TOPIC_PREFIX", ""),
        )
