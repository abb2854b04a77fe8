"""The examples in the client's documents call methods that exist, with keywords that they take."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sluice_client import BatchOptions, Client, EventFilter, JobFilter, JobOptions
from sluice_client.kafka import subscribe
from tests.harness.source_tree import ROOT

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
