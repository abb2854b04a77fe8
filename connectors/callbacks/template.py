"""Templates of callback bodies: data that says which values of the standard event go where. No code runs from a template.

    "completed", 100, true            the value itself
    "$.data.job_id"                   the value at this path of the event; null if there is none
    {"$from": "data.status", …}       the same, with `default`, `rename`, `rename_else`, `as`, `if_null`
    {"$each": "data.output.segments", "item": {…}}   a list, made from each item; paths in `item` begin at the item
    {"$base64": "data.output.mask"}   the content of the file that the claim at this path points to
    {"$files": "data.output.files"}   an object of names and contents, from named claims or a list of claims
    {"$literal": …}                   any value as it is, also a text that begins with "$."
    {"name": …, …}, […]               an object or a list of templates

`template_reader.py` checks a template once; `render` fills it in. No I/O: contents of files are `FileContent` in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import InvalidInput
from schemas.records import Claim

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileContent:
    """In a rendered body: the content of this file, in base64."""

    claim: Claim


class _Omitted:
    """Stands for a value that is left out."""


_OMITTED = _Omitted()


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any

    def fill(self, scope: Any) -> Any:
        del scope
        return self.value


@dataclass(frozen=True, slots=True)
class Reference:
    """The value at a path. `rename_else` replaces a value that `rename` does not name."""

    path: Path
    default: Any = None
    rename: Mapping[str, Any] | None = None
    rename_else: Any = None
    convert: Callable[[Any], Any] | None = None
    omit_null: bool = False

    def fill(self, scope: Any) -> Any:
        value = value_at(scope, self.path)
        if value is not None and self.rename is not None:
            value = self.rename.get(str(value), value if self.rename_else is None else self.rename_else)
        if value is not None and self.convert is not None:
            value = self.convert(value)
        if value is None:
            value = self.default
        return _OMITTED if value is None and self.omit_null else value


@dataclass(frozen=True, slots=True)
class Each:
    path: Path
    item: Template

    def fill(self, scope: Any) -> Any:
        values = value_at(scope, self.path)
        if values is None:
            return None
        if not isinstance(values, list):
            raise InvalidInput(f"The value at {dotted(self.path)} is not a list, so the callback can't be made.")
        return [item for value in values if (item := self.item.fill(value)) is not _OMITTED]


@dataclass(frozen=True, slots=True)
class Base64:
    path: Path
    omit_null: bool = False

    def fill(self, scope: Any) -> Any:
        claim = claim_at(scope, self.path)
        if claim is None:
            return _OMITTED if self.omit_null else None
        return FileContent(claim)


@dataclass(frozen=True, slots=True)
class Files:
    path: Path

    def fill(self, scope: Any) -> Any:
        found = value_at(scope, self.path) or {}
        if isinstance(found, list):
            found = {str(value_at(one, ("name",)) or value_at(one, ("sha256",))): one for one in found}
        if not isinstance(found, Mapping):
            raise InvalidInput(f"The value at {dotted(self.path)} holds no files, so the callback can't be made.")
        return {name: FileContent(as_claim(one, self.path)) for name, one in found.items()}


@dataclass(frozen=True, slots=True)
class ObjectOf:
    fields: tuple[tuple[str, Template], ...]

    def fill(self, scope: Any) -> Any:
        filled = ((name, template.fill(scope)) for name, template in self.fields)
        return {name: value for name, value in filled if value is not _OMITTED}


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Template, ...]

    def fill(self, scope: Any) -> Any:
        return [value for item in self.items if (value := item.fill(scope)) is not _OMITTED]


Template = Literal | Reference | Each | Base64 | Files | ObjectOf | ListOf


def render(template: Template, event: Mapping[str, Any]) -> Any:
    """Return the body that a template makes of an event; None if it is left out. Raises InvalidInput."""
    value = template.fill(event)
    return None if value is _OMITTED else value


def value_at(scope: Any, path: Path) -> Any:
    """Return the value at a path; None if there is none. A number is the position in a list."""
    for name in path:
        if isinstance(scope, Mapping):
            scope = scope.get(name)
        elif isinstance(scope, list) and name.isdecimal() and int(name) < len(scope):
            scope = scope[int(name)]
        else:
            return None
    return scope


def claim_at(scope: Any, path: Path) -> Claim | None:
    """Return the claim at a path; None if nothing is there. Raises InvalidInput for anything else."""
    found = value_at(scope, path)
    return None if found is None else as_claim(found, path)


def as_claim(value: Any, path: Path) -> Claim:
    try:
        return Claim(
            str(value["uri"]),
            str(value["sha256"]),
            int(value["size"]),
            str(value.get("content_type") or "application/octet-stream"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"The value at {dotted(path)} is not a file, so the callback can't be made.") from error


def dotted(path: Path) -> str:
    return ".".join(path)
