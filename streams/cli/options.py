"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", help="Print JSON for programs.")]
Reason = Annotated[str, Parameter(help="Why, for whoever looks at it later.")]
