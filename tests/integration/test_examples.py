"""The example backends: each one's own tests pass in an environment of its own, against a running sluice."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.examples import Environment, copied, digits_on_sluice
from tests.harness.source_tree import ROOT

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def sluice(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with digits_on_sluice(stack, tmp_path_factory.mktemp("sluice")) as variables:
        yield variables


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


def test_the_fastapi_backend(sluice: dict[str, str], environment: Environment, tmp_path: Path) -> None:
    example = copied("fastapi_backend", tmp_path)
    environment.install(example / "tests" / "requirements.txt")
    assert "passed" in environment.python(example, "-m", "pytest", **sluice)


def test_the_django_backend(sluice: dict[str, str], environment: Environment, tmp_path: Path) -> None:
    example = copied("django_backend", tmp_path)
    environment.install(example / "requirements.txt")
    environment.python(example, "manage.py", "makemigrations", "--check", "--dry-run", **sluice)
    environment.python(example, "manage.py", "test", "tests", **sluice)


def test_the_celery_backend(environment: Environment, tmp_path: Path) -> None:
    example = copied("fastapi_backend_celery", tmp_path)
    environment.install(example / "tests" / "requirements.txt")
    assert "passed" in environment.python(example, "-m", "pytest")


def test_the_front_end_sees_the_same_contract_before_and_after_the_move() -> None:
    before, after = (ROOT / "examples" / name / "tests" for name in ("fastapi_backend_celery", "fastapi_backend"))
    for name in ("test_contract.py", "conftest.py"):
        assert filecmp.cmp(before / name, after / name, shallow=False), name


def test_the_model_moves_unchanged() -> None:
    before, after = ROOT / "examples" / "fastapi_backend_celery", ROOT / "examples" / "digits" / "digits"
    for name in ("model.py", "weights/digits.json"):
        assert filecmp.cmp(before / name, after / name, shallow=False), name
