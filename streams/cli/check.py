"""The result of one check of `sluice doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    OK = "ok"
    #: Works, but not as well as it should.
    WARNING = "warning"
    #: Answers, but can't be used as it is.
    PROBLEM = "problem"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    severity: Severity
    detail: str
    next_step: str | None = None
