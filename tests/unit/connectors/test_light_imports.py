"""Client libraries are imported at first use: these modules are on the path of `sluice submit` and `--help`."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("obstore", "httpx2", "aiohttp", "httptools", "psycopg", "standardwebhooks")


@pytest.mark.parametrize(
    "module",
    ["objects", "claim_uris", "registry", "schema_cache", "callbacks.resolve", "callbacks.guard", "callbacks.body"],
)
def test_a_module_on_the_submit_path_imports_no_client_library(module: str) -> None:
    code = f"import sys, connectors.{module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
