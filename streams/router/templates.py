"""Fills in templates: texts that begin with `$` are paths to values of an upload or of the parts of a join. No I/O.

`$upload.claim`, `$seg.output.mask`, `$seg.refs.0`, `$case_id`. A path's value keeps its type. `$$` stands for a plain `$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.errors import InvalidInput
from streams.router.rules import Submit

_PATH = re.compile(r"[a-z_]\w*(?:\.\w+)*", re.ASCII)
#: Options of a job that may hold paths.
TEXT_OPTIONS = ("callback_url", "order_key", "external_id")


def path_of(value: Any) -> str | None:
    """Return the path that a value of a template is, without its `$`; None for a literal."""
    if isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
        return value[1:]
    return None


def well_formed(path: str) -> bool:
    return _PATH.fullmatch(path) is not None


def paths_in(value: Any) -> Iterator[str]:
    """Yield every path of a template."""
    if (path := path_of(value)) is not None:
        yield path
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from paths_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_in(inner)


def paths_of(submit: Submit) -> set[str]:
    """Return every path that a job's input, labels and options use."""
    options = [getattr(submit, name) for name in TEXT_OPTIONS]
    return set(paths_in([submit.input, submit.labels, options]))


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the template with each path replaced by its value. Raises InvalidInput for a path without one."""
    if (path := path_of(template)) is not None:
        try:
            return values[path]
        except KeyError:
            raise InvalidInput(f"${path} has no value here.") from None
    if isinstance(template, str):
        return template.removeprefix("$")
    if isinstance(template, Mapping):
        return {name: filled(inner, values) for name, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, values) for inner in template]
    return template


def drawn(paths: Iterable[str], root: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of those paths that begin with `root`, by path; a path that leads nowhere is left out."""
    found = {}
    for path in paths:
        first, _, rest = path.partition(".")
        if first == root:
            try:
                found[path] = _follow(data, rest.split(".") if rest else [])
            except (LookupError, TypeError, ValueError):
                continue
    return found


def _follow(value: Any, parts: list[str]) -> Any:
    for part in parts:
        value = value[int(part) if isinstance(value, list) else part]  # a list takes numbers only: ValueError
    return value
