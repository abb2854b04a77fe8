"""The distribution is small: it imports httpx and the standard library, and nothing of the server."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

import sluice_client
from tests.harness.source_tree import ROOT, files_of, imported_names

#: Modules of extras and of frameworks, and the only foreign packages that each may import.
FOREIGN = {"fastapi.py": {"fastapi"}, "kafka.py": {"confluent_kafka", "fastavro", "httpx"}}


def test_modules_import_httpx_and_the_standard_library_alone() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in files_of("sluice_client")
        for name in imported_names(path)
        if (top := name.split(".")[0]) not in sys.stdlib_module_names | {"sluice_client"}
        and top not in FOREIGN.get(path.name, {"httpx"})
    ]
    assert wrong == []


def test_importing_it_loads_neither_a_framework_nor_the_server() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'clients/python')!r}); import sluice_client; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "httpx" in loaded
    assert (
        loaded & {"fastapi", "django", "confluent_kafka", "fastavro", "schemas", "streams", "connectors", "gateway"}
        == set()
    )


def test_its_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == sluice_client.__version__
    assert [name.split(">")[0] for name in project["dependencies"]] == ["httpx"]


@pytest.mark.parametrize("name", sluice_client.__all__)
def test_an_exported_name_exists(name: str) -> None:
    assert hasattr(sluice_client, name)
