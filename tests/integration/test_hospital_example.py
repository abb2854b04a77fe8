"""The hospital's backend: its own tests pass in an environment of its own. It needs no running sluice."""

from __future__ import annotations

from pathlib import Path

from tests.harness.examples import Environment, copied


def test_the_hospitals_backend(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    example = copied("hospital", tmp_path)
    environment.install(example / "requirements.txt")
    environment.python(example, "manage.py", "test", "tests")
