"""The example backends: each one's own tests pass in an environment of its own, against a running sluice."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import guide
from tests.harness.databases import create_database, drop_database
from tests.harness.examples import EXAMPLES, Environment, copied, differing_files, digits_on_sluice
from tests.harness.services import SLUICE
from tests.harness.source_tree import ROOT

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def sluice(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with digits_on_sluice(stack, tmp_path_factory.mktemp("sluice")) as variables:
        yield variables


@pytest.fixture(scope="module")
def fastapi_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Shared, because a new environment compiles everything it imports. The first test has only its own requirements in it."""
    return Environment(tmp_path_factory.mktemp("fastapi") / "venv")


def test_the_fastapi_backend(sluice: dict[str, str], fastapi_environment: Environment, tmp_path: Path) -> None:
    example = copied("fastapi_backend", tmp_path)
    fastapi_environment.install(example / "tests" / "requirements.txt")
    assert "passed" in fastapi_environment.python(example, "-m", "pytest", **sluice)


def test_the_django_backend(sluice: dict[str, str], tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    example = copied("django_backend", tmp_path)
    environment.install(example / "requirements.txt")
    environment.python(example, "manage.py", "makemigrations", "--check", "--dry-run", **sluice)
    environment.python(example, "manage.py", "test", "tests", **sluice)


def test_the_backend_of_ai_services(stack: dict[str, str], fastapi_environment: Environment, tmp_path: Path) -> None:
    example, name = copied("ai_services", tmp_path), f"ai_services_{os.getpid()}"
    fastapi_environment.install(example / "tests" / "requirements.txt")
    url = create_database(stack["DATABASE_URL"], name)
    assert "passed" in fastapi_environment.python(example, "-m", "pytest", BACKEND_DATABASE_URL=url)
    drop_database(stack["DATABASE_URL"], name)


def test_the_processor_of_the_examples() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=EXAMPLES / "digits", env=bare, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_celery_backend_and_its_move_to_sluice_by_the_guide(
    sluice: dict[str, str], fastapi_environment: Environment, tmp_path: Path
) -> None:
    """Follow docs/migrating_from_celery.md: before, side by side, and after, when it is the FastAPI backend."""
    backend = copied("fastapi_backend_celery", tmp_path)
    fastapi_environment.install(backend / "tests" / "requirements.txt")
    assert "passed" in fastapi_environment.python(backend, "-m", "pytest")
    guide.do("Step 2", backend)
    assert (backend / "tests" / "test_side_by_side.py").exists()
    fastapi_environment.install(backend / "tests" / "requirements.txt")
    assert "passed" in fastapi_environment.python(backend, "-m", "pytest", **sluice)
    guide.do("Step 3", backend)
    assert differing_files(EXAMPLES / "fastapi_backend", backend, "README.md", "tests", "uploads") == []


def test_the_guides_processor_is_the_one_of_the_examples(tmp_path: Path) -> None:
    before = copied("fastapi_backend_celery", tmp_path)
    without_digits = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([SLUICE, "new", "processor", "digits"], cwd=tmp_path, env=without_digits, check=True)
    made = tmp_path / "digits"
    shutil.copy(before / "model.py", made / "digits")
    shutil.copytree(before / "weights", made / "digits" / "weights")
    for name, text in guide.files("Step 1").items():
        (tmp_path / name).write_text(text)
    assert differing_files(EXAMPLES / "digits", made, "README.md", "train.py", "tests") == []


def test_the_front_end_sees_the_same_contract_before_and_after_the_move() -> None:
    before, after = (EXAMPLES / name / "tests" for name in ("fastapi_backend_celery", "fastapi_backend"))
    for name in ("test_contract.py", "conftest.py"):
        assert filecmp.cmp(before / name, after / name, shallow=False), name


def test_the_model_moves_unchanged() -> None:
    before, after = EXAMPLES / "fastapi_backend_celery", EXAMPLES / "digits" / "digits"
    for name in ("model.py", "weights/digits.json"):
        assert filecmp.cmp(before / name, after / name, shallow=False), name
