"""The examples in the client's documents call methods that exist, with keywords that they take."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice_client import BatchOptions, Client, EventFilter, JobFilter, JobOptions
from sluice_client.kafka import subscribe
from streams.testing import Flow
from tests.harness.gateway_service import open_gateway
from tests.harness.source_tree import ROOT
from tests.harness.waiting import wait_until

DOCUMENTS = ("clients/python/README.md", "docs/client.md")
KEYWORDS = {
    "submit": JobOptions,
    "submit_batch": BatchOptions,
    "jobs": JobFilter,
    "events": EventFilter,
}


def calls_in(document: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls of the client and of `subscribe` in the Python of a document, by the name of what is called."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(client\.[^`]*\))`", text)
    for source in [*blocks, *inline]:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if re.fullmatch(r"client\.\w+|Client|subscribe", name):
                    yield name, node


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_call_in_a_document_can_be_made(document: str) -> None:
    calls = list(calls_in(document))
    assert calls
    for name, call in calls:
        method = name.removeprefix("client.")
        target: Any = {"Client": Client, "subscribe": subscribe}.get(name) or getattr(Client, method)
        keywords = {keyword.arg for keyword in call.keywords} - set(KEYWORDS.get(method, JobFilter).__annotations__)
        itself = () if name in ("Client", "subscribe") else (None,)
        inspect.signature(target).bind(*itself, *call.args, **{keyword: None for keyword in keywords if keyword})


def test_the_first_example_of_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "clients/python/README.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    with Flow("echo") as flow, open_gateway(flow.settings) as url, ThreadPoolExecutor(1) as threads:
        monkeypatch.setenv("SLUICE_GATEWAY_URL", url)
        running = threads.submit(exec, example, {})
        wait_until(running.done, lambda: "the example does not end", step=flow.settle)
        running.result()
    assert "{'message': 'hello', 'length': 5}" in capsys.readouterr().out
