"""The examples as their READMEs run them: a sluice with the processor `digits`, and an environment for each backend."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas import contract
from streams import wiring
from streams.admin import topics
from streams.settings import Settings
from tests.harness.databases import create_database, drop_database
from tests.harness.packages import on_the_path
from tests.harness.services import running
from tests.harness.source_tree import ROOT
from tests.harness.waiting import wait_until

EXAMPLES = ROOT / "examples"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Left out of a copy: what a run of an example leaves behind.
_LEAVINGS = shutil.ignore_patterns("__pycache__", "*.sqlite3", "*.db", "uploads", ".pytest_cache", ".ruff_cache")


def copied(name: str, folder: Path) -> Path:
    """Copy an example, with the processor and the client beside it as in the repository; return its folder."""
    shutil.copytree(EXAMPLES / name, folder / "examples" / name, ignore=_LEAVINGS)
    for beside in ("examples/digits", "clients/python"):
        if not (folder / beside).exists():
            (folder / beside).parent.mkdir(parents=True, exist_ok=True)
            (folder / beside).symlink_to(ROOT / beside)
    return folder / "examples" / name


class Environment:
    """A virtual environment with the requirements of an example, and nothing of this one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._variables = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", str(folder)),
            "UV_SYSTEM_CERTS": os.environ.get("UV_SYSTEM_CERTS", "true"),
            **{
                name: value
                for name, value in os.environ.items()
                if name.startswith(("UV_", "HTTP", "NO_PROXY", "SSL_"))
            },
        }
        uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
        self._uv = [uv, "--quiet"]
        self._run([*self._uv, "venv", str(folder)], folder.parent)

    def install(self, requirements: Path) -> None:
        """Install a file of requirements; paths in it are relative to the folder that the README runs it from."""
        root = requirements.parent if requirements.parent.name != "tests" else requirements.parents[1]
        python = str(self._folder / "bin" / "python")
        self._run([*self._uv, "pip", "install", "--python", python, "-r", str(requirements)], root)

    def python(self, folder: Path, *arguments: str, **variables: str) -> str:
        """Run Python in `folder`; return its output. Warnings are errors."""
        return self._run([str(self._folder / "bin" / "python"), "-W", "error", *arguments], folder, variables)

    def _run(self, command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**self._variables, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def digits_on_sluice(stack: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """Run the services with the processor `digits`; yield the variables by which a backend finds them."""
    name = f"examples_{os.getpid()}"
    settings = Settings(
        kafka_bootstrap_servers=stack["KAFKA_BOOTSTRAP_SERVERS"],
        schema_registry_url=stack["SCHEMA_REGISTRY_URL"],
        database_url=create_database(stack["DATABASE_URL"], name),
        home=folder / "home",
        topic_prefix=f"{name}.",
        partitions=1,
        callback_allow=("127.0.0.0/8",),
        processors=("digits",),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", on_the_path(EXAMPLES / "digits", folder / "site"))
        patch.setenv("SLUICE_PROCESSORS", "digits")
        patch.setenv("SLUICE_CALLBACK_SECRETS", SECRET)
        patch.setenv("SLUICE_GATEWAY_ADDRESS", "127.0.0.1:0")
        patch.setenv("SLUICE_GATEWAY_AUTH", "open")
        patch.syspath_prepend(folder / "site")
        patch.syspath_prepend(EXAMPLES / "digits")
        patch.setattr(contract, "_entry_points", contract._entry_points.__wrapped__)  # an earlier test has cached them
        topics.apply(settings, wiring.contracts(settings))
        with running(settings, ["gateway"], ["worker", "digits"], ["sink"]) as (gateway, *_):
            address = wait_until(lambda: logged(gateway.log, "gateway_ready"), gateway.log.read_text)["address"]
            yield {"SLUICE_GATEWAY_URL": f"http://{address}", "SLUICE_CALLBACK_SECRETS": SECRET}
    drop_database(stack["DATABASE_URL"], name)


def logged(log: Path, event: str) -> dict[str, str]:
    """Return the fields of the first line of a log that says `event`; empty if none does."""
    for line in log.read_text().splitlines():
        if line.startswith("{") and (found := json.loads(line)).get("event") == event:
            return dict(found)
    return {}


def differing_files(one: Path, other: Path, *but: str) -> list[str]:
    """Return the files that are not the same in both folders, but for these at the top."""
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
    return [
        str(name)
        for name in sorted(names)
        if name.parts[0] not in but and not _leaving(name) and not _same(one / name, other / name)
    ]


def _leaving(name: Path) -> bool:
    """True for what tools leave behind."""
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.read_bytes() == other.read_bytes()
