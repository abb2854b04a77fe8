"""The version of a processor's code: its distribution, and a hash of the source files that it is made of.

The same source gives the same text on every machine. Results with the same input, weights and code version come from the same
computation, as far as its dependencies (torch, the driver) compute alike.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from processors.protocol import GROUP


@cache
def code_version(processor: type) -> str:
    """Return `<distribution>-<version>+<16 hex digits>`, for example `sluice-0.1.0+9f86d081884c7d65`.

    The digits are a hash of the module that defines the class and of every module of its top-level package that this one
    needs. Modules of other packages are covered by the version of the distribution only.
    """
    digest = hashlib.sha256()
    for name, source in sorted(sources(processor.__module__).items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(source).digest())
    return f"{_distribution(processor)}+{digest.hexdigest()[:16]}"


def sources(module: str) -> dict[str, bytes]:
    """Return the source of a module, and of every module of its top-level package that it needs, by name."""
    top, wanted = module.partition(".")[0], [module]
    found: dict[str, bytes] = {}
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in seen or name.partition(".")[0] != top:
            continue
        seen.add(name)
        wanted.append(name.rpartition(".")[0])  # the package's own __init__ runs first
        path = _file_of(name)
        if path is not None:
            found[name] = path.read_bytes()
            wanted += _imports(name, path, found[name])
    return found


def _file_of(module: str) -> Path | None:
    """Return the source file of a module; None for a namespace package, and for a name that is no module."""
    top, *rest = module.split(".")
    root = sys.modules.get(top)
    if root is None:
        return None
    if not rest:
        file = getattr(root, "__file__", None)
        return _existing(Path(file)) if file else None
    for folder in getattr(root, "__path__", ()):
        base = Path(folder, *rest)
        found = _existing(base / "__init__.py") or _existing(base.with_name(f"{base.name}.py"))
        if found is not None:
            return found
    return None


def _existing(path: Path) -> Path | None:
    return path if path.suffix == ".py" and path.is_file() else None


def _imports(module: str, path: Path, source: bytes) -> Iterator[str]:
    """Yield the names that a module imports, anywhere in it. A name may be an attribute of a module."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        parsed = ast.parse(source)
    except (SyntaxError, ValueError):  # imported by nothing that ran
        return
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join(filter(None, [*parts[: len(parts) - node.level + 1], base]))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _distribution(processor: type) -> str:
    """Return name and version of the distribution whose entry point leads to the class."""
    top = processor.__module__.partition(".")[0]
    for point in entry_points(group=GROUP):
        if point.dist is not None and point.module.partition(".")[0] == top:
            return f"{point.dist.name}-{point.dist.version}"
    return "no-distribution"
