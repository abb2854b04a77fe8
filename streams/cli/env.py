"""`sluice env`: the addresses, for other programs."""

from __future__ import annotations

import shlex
from contextlib import suppress

from schemas.errors import Unreachable
from streams.cli.options import Json
from streams.cli.output import out, out_json


def env(*, json: Json = False) -> int:
    """Print the addresses of Kafka, registry, Postgres and gateway as shell variables.

    KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL and DATABASE_URL (with its
    password), as sluice itself uses them: from the environment if set there, else
    from the local stack. SLUICE_GATEWAY_URL only if a gateway was started, or set.

    For example:

        eval "$(sluice env)"
        psql "$(sluice env --json | jq -r .DATABASE_URL)"
    """
    from streams.settings import load_settings

    settings = load_settings()
    addresses = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap,
        "SCHEMA_REGISTRY_URL": settings.registry_url,
        "DATABASE_URL": settings.database,
    }
    with suppress(Unreachable):
        addresses["SLUICE_GATEWAY_URL"] = settings.gateway
    if json:
        out_json(addresses)
    else:
        out("\n".join(f"export {name}={shlex.quote(value)}" for name, value in addresses.items()))
    return 0
