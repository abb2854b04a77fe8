"""What `sluice topics` plans and applies: one difference between what is declared and what is there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    CREATE_TOPIC = "create-topic"
    ALTER_CONFIG = "alter-config"
    ADD_PARTITIONS = "add-partitions"
    REGISTER_SCHEMA = "register-schema"
    SEED_OFFSETS = "seed-offsets"
    #: Something `apply` can't change.
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Change:
    """`target`: the topic, subject or group. `detail`: what changes, for a person."""

    kind: ChangeKind
    target: str
    detail: str = ""
