"""The Node and Go examples: their own tests, and a job from submit to callback through a running gateway."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.harness.gateway_service import open_gateway
from tests.harness.services import running

pytestmark = [pytest.mark.accept, pytest.mark.stack]

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "node": ["node", str(ROOT / "clients/node/example.mjs")],
    "go": [str(ROOT / ".tools/bin/sluice-go-example")],  # `make tools` builds it
}
TESTS = {
    "node": ["node", "--test", str(ROOT / "clients/node/")],
    "go": ["go", "-C", str(ROOT / "clients/go"), "test", "./..."],
}
SECRETS = ["whsec_" + base64.b64encode(letter * 24).decode() for letter in (b"n", b"o")]


def run(argv: list[str], **environment: str) -> str:
    env = os.environ | environment
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("language", TESTS)
def test_the_examples_own_tests_pass(language: str) -> None:
    run(TESTS[language])


@pytest.mark.parametrize("language", EXAMPLES)
def test_an_example_submits_follows_and_is_called_back(
    settings: Settings, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_CALLBACK_SECRETS", ",".join(SECRETS))  # of the services
    with open_gateway(settings) as url, running(settings, ["worker", "echo"], ["sink"]):
        report = json.loads(
            run([*EXAMPLES[language], "grüße"], SLUICE_GATEWAY_URL=url, SLUICE_CALLBACK_SECRETS=SECRETS[1])
        )
    assert report["one_job"]
    assert report["state"] == "COMPLETED"
    assert report["output"] == {"message": "grüße", "length": 5}
    assert report["events"][-1] == "outcome"
    assert report["events"].count("outcome") == 1
    assert report["callback"] == {"type": "job.completed", "job_id": report["job_id"]}
