"""Each entry point loads the modules that it needs, and no heavy library that it does not need."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.source_tree import PRODUCT, ROOT


def all_modules_after(statement: str) -> set[str]:
    """Modules loaded in a fresh interpreter once `statement` has run."""
    code = f"import sys\n{statement}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.rpartition("LOADED")[2].split())


def modules_after(statement: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter once `statement` has run."""
    return {name.split(".")[0] for name in all_modules_after(statement)}


def our_modules(loaded: set[str]) -> list[str]:
    return sorted(name for name in loaded if name.split(".")[0] in PRODUCT)


def test_the_process_that_holds_the_model_loads_neither_kafka_nor_its_parent() -> None:
    loaded = all_modules_after("import streams.worker.child.main")
    ours = our_modules(loaded)
    assert loaded & {"confluent_kafka", "torch", "faust", "fastapi", "psycopg", "aiohttp", "obstore"} == set()
    parents = [name for name in ours if name.startswith("streams.worker.") and ".child" not in name]
    assert parents == [f"streams.worker.{name}" for name in ("header_from_kafka", "protocol", "text_frame")]
    assert len(ours) <= 65, ours


def test_run_once_loads_a_processor_and_little_else() -> None:
    run = """from streams.cli.run_once import run_once; run_once("echo", input_='{"message": "hi"}')"""
    loaded = all_modules_after(run)
    ours = our_modules(loaded)
    assert loaded & {"confluent_kafka", "torch", "psycopg", "aiohttp", "obstore"} == set()
    assert len(ours) <= 29, ours


def test_what_a_producer_imports_pulls_in_nothing_heavy() -> None:
    loaded = modules_after("from streams.client.submitter import Submitter")
    assert "confluent_kafka" in loaded
    assert loaded & {"torch", "faust", "fastapi", "psycopg", "aiohttp", "numpy", "nibabel"} == set()


def test_listing_the_processors_imports_none_of_them() -> None:
    loaded = modules_after("from schemas.contract import known_processors; assert 'echo' in known_processors()")
    assert loaded & {"torch", "processors"} == set()


def test_a_lab_worker_loads_neither_kafka_nor_a_database() -> None:
    build = """import streams.cli.worker, streams.cli.service
from streams.settings import Settings
from streams.worker.worker import Worker
Worker(Settings(worker_gateway="https://gateway.example"), ["segmentation"])
import streams.worker.child.main"""
    loaded = all_modules_after(build)
    assert "streams.worker.gateway.transport" in loaded
    assert loaded & {"confluent_kafka", "psycopg", "obstore", "torch", "fastapi", "aiohttp"} == set()
