"""Runs schemathesis against a gateway: examples made from its OpenAPI document, each answer checked against it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Beside "no 5xx": status, content type, headers and body are as declared, wrong data and missing tokens are refused.
#: Left out: that data which fits the schema is always accepted. An unknown processor fits it, and is refused.
LEFT_OUT = "positive_data_acceptance"
#: Streams do not end by themselves.
STREAMS = "/events$"


def check_schema(url: str, token: str, *options: str, timeout_s: float = 1200) -> int:
    """Return the number of examples. Raises AssertionError with schemathesis' report if one of them shows a fault."""
    with tempfile.TemporaryDirectory() as folder:  # schemathesis keeps files where it runs
        done = _run(url, token, options, folder, timeout_s)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated is not None, done.stdout[-5_000:]
    return int(generated[1].replace(",", ""))


def _run(
    url: str, token: str, options: Sequence[str], folder: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{url}/v1/openapi.json", "--no-color"),
            *("--exclude-checks", LEFT_OUT, "--exclude-path-regex", STREAMS, "--continue-on-failure"),
            *("--header", f"Authorization: Bearer {token}", "--request-timeout", "90", "--generation-database", "none"),
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.acceptance.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        check=False,
    )
