"""Input and output of `digits`. Programs that submit jobs import this file, so it must import nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim


@dataclass(frozen=True, slots=True)
class DigitsInput:
    """Matches the record `DigitsInput` in avro/DigitsRequest.avsc."""

    sheet: Claim


@dataclass(frozen=True, slots=True)
class DigitsOutput:
    """Matches the record `DigitsOutput` in avro/DigitsResult.avsc."""

    digits: str
    probabilities: list[float]


DIGITS: ProcessorContract[DigitsInput, DigitsOutput] = ProcessorContract(
    "digits", DigitsInput, DigitsOutput, Path(__file__).parent / "avro"
)
