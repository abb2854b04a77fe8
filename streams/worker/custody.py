"""Who owns a job that waits is said twice: by the contract, which every submitter and the sink read, and by the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.contract import contract
from schemas.errors import StartupError


def check_custody(processor: str, ready: Mapping[str, Any]) -> None:
    """`ready` is what the child said of its policy. Raises StartupError where the two differ: jobs would wait for nobody."""
    declared, told = contract(processor).custody, ready["custody"]
    if told != declared:
        raise StartupError(
            f"The contract of processor {processor!r} says custody {declared!r}, its policy says {told!r}.",
            next_step=f"Let ProcessorContract(custody=…) and Policy(custody=…) of {processor!r} say the same.",
        )
