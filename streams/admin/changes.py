"""A change that `sluice topics` plans or applies: one difference between the declared and the actual state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    CREATE_TOPIC = "create-topic"
    ALTER_CONFIG = "alter-config"
    ADD_PARTITIONS = "add-partitions"
    REGISTER_SCHEMA = "register-schema"
    SEED_OFFSETS = "seed-offsets"
    #: A group's offset is not in the log any more.
    RESET_OFFSETS = "reset-offsets"
    #: A difference that `apply` can't change.
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Change:
    """`target`: the topic, subject or group. `detail`: the change in words."""

    kind: ChangeKind
    target: str
    detail: str = ""
