"""`sluice env`: the addresses, for other programs."""

from __future__ import annotations

import shlex

from streams.cli.options import Json
from streams.cli.output import out, out_json


def env(*, json: Json = False) -> int:
    """Print the addresses of Kafka, registry and Postgres as shell variables.

    KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL and DATABASE_URL (with its
    password), as sluice itself uses them: from the environment if set there, else
    from the local stack.

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
    if json:
        out_json(addresses)
    else:
        out("\n".join(f"export {name}={shlex.quote(value)}" for name, value in addresses.items()))
    return 0
