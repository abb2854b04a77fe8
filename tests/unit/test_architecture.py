"""The rooms keep their arrows, and each heavy library stays in its room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "schemas": set[str](),
    "processors": {"schemas"},
    "connectors": {"schemas"},
    "streams": {"schemas", "processors", "connectors"},
    "gateway": {"schemas", "processors", "connectors", "streams"},
}
LIVES_ONLY_IN = {
    "fastavro": {"schemas"},
    "torch": {"processors"},
    "nibabel": {"processors"},
    "pydicom": {"processors"},
    "safetensors": {"processors"},
    "psycopg": {"connectors"},
    "psycopg_pool": {"connectors"},
    "aiohttp": {"connectors"},
    "httpx2": {"connectors"},
    "httpx": {"connectors"},
    "obstore": {"connectors"},
    "confluent_kafka": {"streams"},
    "faust": {"streams"},
    "fastapi": {"gateway"},
}
ROOMS = [room for room in MAY_IMPORT if (ROOT / room).is_dir()]


def imports_of(path: Path) -> Iterator[str]:
    """Top-level names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_its_arrows_allow(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imports_of(path)
        if name in MAY_IMPORT and name not in allowed
    ]
    assert files_of(room)
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_heavy_library_stays_in_its_room(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imports_of(path)
        if room not in LIVES_ONLY_IN.get(name, {room})
    ]
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    readers = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ROOMS
        for path in files_of(room)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and path.name != "settings.py"
    ]
    assert readers == []


def test_every_room_opens_with_a_docstring_that_says_what_it_is_for() -> None:
    bare = [
        str(init.parent.relative_to(ROOT))
        for room in ROOMS
        for init in (ROOT / room).rglob("__init__.py")
        if not ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
    ]
    assert bare == []


def all_modules_after(statement: str) -> set[str]:
    """Modules loaded in a fresh interpreter once `statement` has run."""
    code = f"import sys\n{statement}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.rpartition("LOADED")[2].split())


def modules_after(statement: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter once `statement` has run."""
    return {name.split(".")[0] for name in all_modules_after(statement)}


def our_modules(loaded: set[str]) -> list[str]:
    return sorted(name for name in loaded if name.split(".")[0] in MAY_IMPORT)


def test_the_process_that_holds_the_model_loads_neither_kafka_nor_its_parent() -> None:
    loaded = all_modules_after("import streams.worker.child.main")
    ours = our_modules(loaded)
    assert loaded & {"confluent_kafka", "torch", "faust", "fastapi", "psycopg", "aiohttp", "obstore"} == set()
    parents = [name for name in ours if name.startswith("streams.worker.") and ".child" not in name]
    assert parents == ["streams.worker.protocol"]
    assert len(ours) <= 50, ours


def test_what_a_producer_imports_pulls_in_nothing_heavy() -> None:
    loaded = modules_after("from streams.client.submitter import Submitter")
    assert "confluent_kafka" in loaded
    assert loaded & {"torch", "faust", "fastapi", "psycopg", "aiohttp", "numpy", "nibabel"} == set()


def test_listing_the_processors_imports_none_of_them() -> None:
    loaded = modules_after("from schemas.contract import known_processors; assert 'echo' in known_processors()")
    assert loaded & {"torch", "processors"} == set()
