"""Looks up the ids of our schemas, once for each processor."""

from __future__ import annotations

from schemas.avsc import request_schema, result_schema, self_contained
from schemas.contract import AnyContract
from schemas.errors import UnknownSchema
from streams import wiring
from streams.settings import Settings


def schema_ids(settings: Settings, made: AnyContract) -> dict[str, int]:
    """Return the ids of our schemas, looked up once, so that children start and restart while the registry is down."""
    registry, names = wiring.registry(settings), settings.topics
    ours = {
        f"{names.requests(made.name)}-value": request_schema(made),
        f"{names.results(made.name)}-value": result_schema(made),
        f"{names.progress}-value": self_contained("Progress"),
        f"{names.control}-value": self_contained("Control"),
    }
    ids = {}
    for subject, schema in ours.items():
        found = registry.register(subject, schema) if settings.auto_register else registry.lookup(subject, schema)
        if found is None:
            raise UnknownSchema(
                f"The registry has no schema like ours under {subject!r}.", next_step="Run `sluice topics apply`."
            )
        ids[subject] = found
    return ids
