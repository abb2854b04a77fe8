"""Every command of docs/http_api.md runs, against a gateway on twins in memory."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.service import Gateway
from tests.harness.gateway_app import memory_settings

DOCUMENT = (Path(__file__).parents[3] / "docs" / "http_api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    service, stop = Gateway(memory_settings(home, gateway_address="127.0.0.1:0")), threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,))
    thread.start()
    yield f"http://{service.address}"
    stop.set()
    thread.join()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0][:60])
def test_an_example_is_answered_with_what_it_asks_for(url: str, example: str) -> None:
    commands = example.replace("wait=5", "wait=0.1").replace("curl -s", "curl -s -w '\\n'")  # no worker runs here
    done = subprocess.run(
        ["bash", "-euc", commands],
        env={"SLUICE_GATEWAY_URL": url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert answers
    assert [answer for answer in answers if str(answer.get("type", "")).startswith("urn:sluice:problem")] == []
