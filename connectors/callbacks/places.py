"""Places within a declared file, so that each error says where it is and which name was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Place:
    """A file and the keys that lead to a value in it."""

    file: str
    keys: tuple[str, ...] = ()

    def __truediv__(self, key: str) -> Place:
        return Place(self.file, (*self.keys, key))

    def __str__(self) -> str:
        return f"{self.file}, at {'.'.join(map(_quoted, self.keys))}" if self.keys else self.file

    def error(self, problem: str, next_step: str = "Correct the file; docs/callbacks.md describes it.") -> UsageError:
        return UsageError(f"{self}: {problem}.", next_step=next_step)

    def one_of(self, name: Any, known: Iterable[str], what: str) -> None:
        """Raise UsageError with the nearest right name unless `name` is a known one."""
        known = list(known)
        if name in known:
            return
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        listed = f"Known: {', '.join(known)}." if known else "None is known."
        raise self.error(f"{str(name)[:80]!r} is no {what}", f"Did you mean {near[0]!r}? {listed}" if near else listed)


def _quoted(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").replace("$", "").isalnum() else f'"{key}"'
