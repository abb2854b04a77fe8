"""The project's source as data: its modules, what each imports, and how long files and functions are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("schemas", "processors", "connectors", "streams", "gateway", "sluice_client", "bench")
#: Rooms that are no folder of the root: distributions of their own.
_FOLDERS = {"sluice_client": ROOT / "clients" / "python" / "sluice_client"}


def folder_of_room(room: str) -> Path:
    return _FOLDERS.get(room, ROOT / room)


#: Programs that run in an environment of their own: they import other projects' packages, and none of ours imports them.
_APART = ROOT / "bench" / "peers"


def files_of(room: str) -> list[Path]:
    return sorted(path for path in folder_of_room(room).rglob("*.py") if _APART not in path.parents)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    outside = next((folder.parent for folder in _FOLDERS.values() if folder in path.parents), ROOT)
    parts = path.relative_to(outside).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path, typing_only: bool = True) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, anywhere in it.

    `typing_only`: imports under TYPE_CHECKING, which exist for the type checker alone, count too.
    """
    tree = parsed(path)
    skipped = set() if typing_only else set(_typing_only(tree))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _typing_only(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                yield from ast.walk(statement)


@cache
def import_graph(typing_only: bool = True) -> Mapping[str, Set[str]]:
    """Return which modules of the product each of them imports; imports within functions count.

    A package that a name lies in does not count by itself, since its `__init__` is loaded before anything in it.
    """
    paths = {name_of(path): path for room in PRODUCT for path in files_of(room)}
    return {
        module: {
            found for name in imported_names(path, typing_only) if (found := _module(name, paths)) and found != module
        }
        for module, path in paths.items()
    }


def _module(name: str, modules: Mapping[str, Path]) -> str:
    """Return the module that an imported name is, or lies in; "" for other projects' names."""
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in modules else ""


def import_circles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return groups of modules that import each other, directly or through others."""
    left = {module: set(targets) for module, targets in graph.items()}
    while ends := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in ends:
            del left[module]
    reachable = {module: _reachable(module, left) for module in left}
    groups = {tuple(sorted(other for other in reachable[m] if m in reachable[other])) for m in left}
    return [list(group) for group in sorted(groups) if group]


def _reachable(start: str, graph: Mapping[str, Set[str]]) -> set[str]:
    found: set[str] = set()
    queue = [start]
    while queue:
        for target in graph[queue.pop()] & graph.keys():
            if target not in found:
                found.add(target)
                queue.append(target)
    return found


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name of every function in a file, and its number of lines."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1
