"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", help="Print JSON instead of text.")]
Reason = Annotated[str, Parameter(help="Why; shown by `sluice job` and `sluice processors`. Default: no reason.")]
