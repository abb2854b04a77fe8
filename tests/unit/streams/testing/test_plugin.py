"""The pytest plugin is found by its entry point and imports nothing before a test asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path


def test_the_pytest_plugin_is_found_by_its_entry_point() -> None:
    [point] = entry_points(group="pytest11", name="sluice")
    assert point.value == "streams.testing.plugin"


USES_THE_FIXTURE = """
import sys

def test_nothing_heavy_is_there_before_it_is_asked_for():
    assert not {"torch", "confluent_kafka", "fastavro", "aiohttp", "psycopg"} & set(sys.modules)

def test_it_opens_flows_and_closes_them(sluice_flow):
    flow = sluice_flow("echo")
    job = flow.submit("echo", {"message": "hello"})
    flow.settle()
    assert flow.job(job).state == "COMPLETED"
"""


def test_the_pytest_plugin_gives_flows_and_imports_nothing_before(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(USES_THE_FIXTURE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "streams.testing.plugin", "-c", "/dev/null", str(tmp_path)]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
