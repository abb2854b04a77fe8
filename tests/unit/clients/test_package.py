"""The distribution is small: it imports httpx and the standard library, and nothing of the server."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def required_by(name: str, found: set[str]) -> set[str]:
    """Return the distributions that one needs here without extras, itself included."""
    found.add(canonicalize_name(name))
    for requirement in map(Requirement, requires(name) or ()):
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and canonicalize_name(requirement.name) not in found:
            required_by(requirement.name, found)
    return found


def test_an_empty_environment_gets_at_most_eight_packages() -> None:
    needed = required_by("sluice-client", set())
    assert "httpx" in needed
    assert len(needed) <= 8, needed


def test_its_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == sluice_client.__version__
    assert [name.split(">")[0] for name in project["dependencies"]] == ["httpx"]


@pytest.mark.parametrize("name", sluice_client.__all__)
def test_an_exported_name_exists(name: str) -> None:
    assert hasattr(sluice_client, name)
