from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import reading
from gateway.research import tasks
from tests.harness.gateway_app import memory_settings
from tests.harness.gateway_service import open_gateway, token_for
from tests.harness.schema_run import check_schema


async def no_fault(*_: Any) -> None:
    """Neither does a worker run here, nor does a run end."""


def test_some_hundred_examples_meet_no_fault_and_no_answer_that_is_not_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every boundary of every parameter, once; tests/acceptance/test_http_schema.py runs 10,000 examples."""
    monkeypatch.setattr(reading, "LONGEST_WAIT_S", 0.1)  # no job ends here
    monkeypatch.setattr(tasks, "why_no_worker", no_fault)
    monkeypatch.setattr(tasks, "finished", no_fault)  # as for a client that has gone: 204
    doors = {"gateway_brain_tumour": True, "gateway_video": True, "gateway_research": True}
    settings = memory_settings(tmp_path, processors=("echo", "embed", "segmentation", "video", "research"), **doors)
    with open_gateway(settings, gateway_auth="token") as url:
        assert check_schema(url, token_for(settings, "clinic"), "--phases", "examples,coverage", "--seed", "1") > 300
