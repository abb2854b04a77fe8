"""An installation of a test's own on the stack that all tests share: topics under a prefix, and a database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streams import wiring
from streams.admin import topics
from streams.settings import Settings
from tests.harness.databases import create_database, drop_database


@contextmanager
def installation(stack: Mapping[str, str], home: Path, **settings: Any) -> Iterator[Settings]:
    """Make topics, register schemas and migrate tables. `stack`: addresses by the names of the environment variables.
    `settings`: further ones of this installation."""
    name = f"t{uuid.uuid4().hex[:10]}"
    database = create_database(stack["DATABASE_URL"], name)
    usual: dict[str, Any] = {
        "home": home,
        "topic_prefix": f"{name}.",
        "partitions": 2,
        "callback_allow": ("127.0.0.0/8",),
    }
    made = Settings(
        kafka_bootstrap_servers=stack["KAFKA_BOOTSTRAP_SERVERS"],
        schema_registry_url=stack["SCHEMA_REGISTRY_URL"],
        database_url=SecretStr(database),
        **usual | settings,
    )
    topics.apply(made, wiring.contracts(made))
    yield made
    drop_database(stack["DATABASE_URL"], name)
