"""The rooms keep their arrows, each heavy library stays in its room, and files and functions stay short."""

from __future__ import annotations

import ast
import re

import pytest

from tests.harness.source_tree import (
    PRODUCT,
    ROOT,
    files_of,
    folder_of_room,
    functions_of,
    import_circles,
    import_graph,
    imported_names,
    lines_of,
    name_of,
    parsed,
)

MAY_IMPORT = {
    "schemas": set[str](),
    "processors": {"schemas"},
    "connectors": {"schemas"},
    "streams": {"schemas", "processors", "connectors"},
    "bench": {"schemas", "processors", "connectors", "streams"},
    "gateway": {"schemas", "processors", "connectors", "streams"},
    "sluice_client": set[str](),
}
LIVES_ONLY_IN = {
    **{name: {"processors"} for name in ("highdicom", "monai", "nibabel", "pydicom", "safetensors", "transformers")},
    **{name: {"processors"} for name in ("av", "ctranslate2", "faster_whisper", "onnxruntime", "pocketsphinx")},
    **{name: {"processors"} for name in ("docx", "kiwipiepy", "langgraph", "pypdfium2", "sentence_transformers")},
    **{name: {"processors"} for name in ("huggingface_hub", "tokenizers")},
    "torch": {"processors", "bench"},
    "fastavro": {"schemas", "sluice_client"},
    **{name: {"connectors"} for name in ("aiohttp", "httptools", "httpx2", "obstore", "psycopg", "psycopg_pool")},
    "httpx": {"connectors", "processors", "sluice_client"},
    "confluent_kafka": {"streams", "sluice_client"},
    "psutil": {"streams"},
    "faust": {"streams"},
    "fastapi": {"gateway", "sluice_client"},
    **{name: {"gateway"} for name in ("starlette", "uvicorn")},
    "mode": {"streams"},
}
ROOMS = list(MAY_IMPORT)

#: Every room may import these.
COMMON = {"schemas", "streams.settings", "streams.environment", "streams.logs"}
#: The arrows between rooms within `connectors` and `streams`, besides COMMON. A module belongs to the longest name that it
#: begins with. A target is a room as a whole, or one module of it by name.
_ARROWS = {
    "connectors": "connectors.callbacks",
    "connectors.callbacks": "",
    "connectors.gateway_client": "connectors",
    "connectors.memory": "connectors",
    "connectors.postgres": "connectors",
    "bench": "connectors connectors.callbacks connectors.memory processors streams.cli streams.client streams.health "
    "streams.notify streams.process streams.stack streams.wiring streams.worker.protocol streams.worker.supervision",
    "streams": "",
    **{f"streams.{room}": "" for room in ("engine_results", "environment", "health", "log", "logs", "plan", "process")},
    "streams.settings": "processors.rollout streams.callback_settings streams.gateway_settings",
    "streams.wiring": "connectors connectors.gateway_client connectors.memory connectors.postgres streams.health streams.log",
    "streams.admin": (
        "connectors streams.log streams.router streams.wiring streams.worker.kafka_source.offset_metadata"
    ),
    "streams.client": "connectors connectors.callbacks streams.log streams.wiring",
    "streams.submit": "streams.client",
    "streams.control": "streams.client",
    "streams.worker": (
        "processors streams.admin streams.health streams.log streams.wiring streams.worker.gateway streams.worker.kafka_source "
        "streams.worker.lease_source streams.worker.supervision"
    ),
    "streams.worker.child": (
        "connectors processors streams.wiring streams.worker.header_from_kafka streams.worker.protocol "
        "streams.worker.text_frame"
    ),
    "streams.worker.gateway": (
        "connectors connectors.gateway_client streams.health streams.wiring streams.worker.command_state "
        "streams.worker.in_flight streams.worker.job streams.worker.job_source streams.worker.lease_source "
        "streams.worker.protocol streams.worker.schema_ids streams.worker.supervision streams.worker.transport"
    ),
    "streams.worker.kafka_source": (
        "processors streams.health streams.log streams.worker.in_flight streams.worker.job "
        "streams.worker.protocol streams.worker.supervision"
    ),
    "streams.worker.lease_source": (
        "connectors streams.health streams.worker.in_flight streams.worker.job streams.worker.protocol "
        "streams.worker.supervision"
    ),
    "streams.worker.supervision": (
        "streams.health streams.worker.in_flight streams.worker.job streams.worker.pipe streams.worker.protocol "
        "streams.worker.text_frame"
    ),
    "streams.explain": (
        "connectors connectors.callbacks processors.rollout streams.health streams.log "
        "streams.timekeeper.requests streams.wiring streams.worker.kafka_source.offset_metadata"
    ),
    "streams.notify": "connectors connectors.callbacks streams.health streams.process streams.wiring",
    "streams.sink": (
        "connectors streams.engine_results streams.health streams.log streams.notify streams.process streams.wiring"
    ),
    "streams.timekeeper": "connectors streams.engine_results streams.health streams.log streams.wiring",
    "streams.replay": "connectors connectors.callbacks streams.admin streams.log streams.timekeeper streams.wiring",
    "streams.router": "connectors.callbacks streams.admin streams.client streams.health streams.log streams.wiring",
    "streams.audit": (
        "connectors streams.client streams.health streams.log streams.wiring streams.worker.kafka_source.offset_metadata"
    ),
    "streams.receipts": "connectors processors streams.timekeeper.requests streams.worker.child",
    "streams.retention": "connectors streams.admin.topics streams.client streams.log streams.wiring",
    "streams.shadow": "connectors processors streams.admin streams.log",
    "streams.stack": "streams.health",
    "streams.dead_letters": "connectors streams.replay streams.timekeeper streams.wiring",
    "streams.cli": (
        "connectors connectors.callbacks processors streams.admin streams.callback_settings streams.client "
        "streams.dead_letters streams.explain streams.gateway_settings streams.health streams.log "
        "streams.notify streams.plan streams.receipts streams.replay streams.retention streams.router streams.shadow "
        "streams.sink streams.stack streams.timekeeper streams.wiring streams.worker streams.worker.child streams.audit"
    ),
    "streams.testing": (
        "connectors connectors.callbacks connectors.memory processors streams.client streams.health streams.log "
        "streams.notify streams.sink streams.timekeeper streams.wiring streams.worker streams.worker.child "
        "streams.worker.kafka_source"
    ),
}
MAY_IMPORT_SUBROOM = {room: set(targets.split()) for room, targets in _ARROWS.items()}
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 50
MOST_LINES_OF_THE_ENGINE = 58_500


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_its_arrows_allow(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imported_names(path)
        if (top := name.split(".")[0]) in MAY_IMPORT and top not in allowed
    ]
    assert files_of(room)
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT_SUBROOM)
def test_a_room_within_a_room_imports_only_the_rooms_its_arrows_allow(room: str) -> None:
    allowed = MAY_IMPORT_SUBROOM[room] | COMMON | {room}
    wrong = {
        f"{module} -> {target}"
        for module, targets in import_graph().items()
        if room_of(module) == room
        for target in targets
        if room_of(target) not in allowed and target not in allowed
    }
    assert wrong == set()


def test_every_arrow_is_used() -> None:
    used = {(room_of(m), end) for m, targets in import_graph().items() for t in targets for end in (t, room_of(t))}
    arrows = {(room, target) for room, targets in MAY_IMPORT_SUBROOM.items() for target in targets}
    assert arrows - used == set()


def test_a_packages_docstring_says_what_it_may_import() -> None:
    """COMMON need not be repeated; names of other projects and explanations may stand between."""
    said, allowed = {}, {}
    for room, targets in MAY_IMPORT_SUBROOM.items():
        init = ROOT.joinpath(*room.split("."), "__init__.py")
        text = ast.get_docstring(parsed(init)) if init.exists() and room != "streams" else None
        if text is not None:
            clause = re.search(r"May import: (.*?)(?:;|\.\s|\.$)", text, re.DOTALL)
            said[room] = named_modules(clause.group(1)) - COMMON if clause else {"nothing said"}
            allowed[room] = targets
    assert said == allowed


def named_modules(text: str) -> set[str]:
    """Return the project's modules in a text; `a.{b,c}` stands for `a.b` and `a.c`."""
    text = re.sub(r"([\w.]+\.)\{(.*?)\}", lambda m: " ".join(m[1] + name for name in m[2].split(",")), text)
    return set(re.findall(r"\w+(?:\.\w+)*", text)) & (import_graph().keys() | COMMON)


def room_of(module: str) -> str:
    """Return the room that a module belongs to; its top-level name where rooms have no table."""
    while module not in MAY_IMPORT_SUBROOM and "." in module:
        module = module.rpartition(".")[0]
    return module


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports within functions count: they only hide a circle. Imports for the type checker alone do not: a record that names
    the type of its owner loads nothing, and the arrows above hold for it all the same."""
    assert import_circles(import_graph(typing_only=False)) == []


def test_an_import_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set[str](), "e": {"a"}}
    assert import_circles(graph) == [["a", "b", "c"]]


def test_no_module_imports_from_a_test_module() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of("tests")
        for name in imported_names(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split(".")[:-1])
    ]
    assert wrong == []


def test_what_tests_of_several_rooms_share_is_in_the_harness() -> None:
    """A kit beside the tests serves that folder and those below it; anything wider is in tests/harness."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of("tests")
        for name in imported_names(path)
        if name.startswith("tests.") and not name.startswith("tests.harness.")
        if not name_of(path.parent / "__init__.py").startswith(folder_of(name))
    ]
    assert wrong == []


def folder_of(name: str) -> str:
    """Return the folder of a name that is imported from a test kit, as a dotted name."""
    parts = name.split(".")
    while not ROOT.joinpath(*parts).is_dir():
        parts.pop()
    return ".".join(parts)


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in (*PRODUCT, "tests")
        for path in files_of(room)
        if (lines := lines_of(path)) > MOST_LINES_OF_A_FILE
    }
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{name}"
        for room in (*PRODUCT, "tests")
        for path in files_of(room)
        for name, lines in functions_of(path)
        if lines > MOST_LINES_OF_A_FUNCTION
    }
    assert long == set()


def test_the_engine_does_not_grow() -> None:
    assert (
        sum(lines_of(path) for room in ("streams", "connectors") for path in files_of(room)) <= MOST_LINES_OF_THE_ENGINE
    )


@pytest.mark.parametrize("room", ROOMS)
def test_a_heavy_library_stays_in_its_room(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in imported_names(path)
        if room not in LIVES_ONLY_IN.get(name.split(".")[0], {room})
    ]
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    readers = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ROOMS
        for path in files_of(room)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and path.name not in ("settings.py", "environment.py")
    ]
    assert readers == []


def test_every_room_opens_with_a_docstring_that_says_what_it_is_for() -> None:
    bare = [
        str(init.parent.relative_to(ROOT))
        for room in ROOMS
        for init in folder_of_room(room).rglob("__init__.py")
        if not ast.get_docstring(parsed(init))
    ]
    assert bare == []
