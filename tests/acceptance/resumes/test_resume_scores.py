"""`resume` reads the fields of held-out documents: made-up people in layouts that were committed before the extraction was."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from processors.local import claim_of
from processors.protocol import AnyProcessor
from processors.resume.contract import ResumeInput
from streams.testing import run_processor
from streams.worker.child.loader import load_versions
from tests.acceptance.resumes.build import DOCUMENTS
from tests.acceptance.resumes.people import HERE
from tests.acceptance.resumes.scoring import Score, score

pytestmark = pytest.mark.accept

FIELDS, NAMES = 0.95, 0.90
#: sha256 by file name.
SUMS = {name: sha256 for sha256, name in (line.split("  ") for line in (HERE / "SHA256SUMS").read_text().splitlines())}


def truths() -> dict[str, dict[str, Any]]:
    """Return kind, language, fields and `also` of every document by file name."""
    return {
        name.removesuffix(".json"): json.loads((DOCUMENTS / name).read_text(encoding="utf-8"))
        for name in SUMS
        if name.endswith(".json")
    }


@cache
def processor() -> AnyProcessor:
    return load_versions("resume", None, "cpu", None, {})[0].processor


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Score]:
    folder = tmp_path_factory.mktemp("resumes")
    return {name: _score(name, about, folder) for name, about in truths().items()}


def _score(name: str, about: dict[str, Any], folder: Path) -> Score:
    claim = claim_of(DOCUMENTS / name, "application/octet-stream")
    output = run_processor(processor(), ResumeInput(claim), folder=folder)
    return score(about["fields"], asdict(output), about["also"])


def test_the_documents_are_those_whose_hashes_were_committed() -> None:
    files = {path.name for path in DOCUMENTS.iterdir()}
    assert files == SUMS.keys()
    for name, sha256 in SUMS.items():
        assert hashlib.sha256((DOCUMENTS / name).read_bytes()).hexdigest() == sha256, name


def test_the_set_is_varied() -> None:
    abouts = truths().values()
    assert len(abouts) >= 36
    assert sum(about["kind"].startswith("theme ") for about in abouts) >= 12
    assert sum(about["language"] == "ko" for about in abouts) >= 12
    assert len({about["kind"] for about in abouts}) >= 15


def test_perfect_fields_score_full_and_empty_ones_nothing() -> None:
    empty = {"name": None, "email": None, "phone": None, "summary": None}
    for name, about in truths().items():
        fields = about["fields"]
        assert score(fields, fields, about["also"]).share == 1, name
        nothing: dict[str, Any] = {key: empty.get(key, []) for key in fields}
        assert score(fields, nothing, about["also"]).share == 0, name


def test_what_is_made_up_counts_as_wrong() -> None:
    about = next(iter(truths().values()))
    fields = about["fields"]
    made_up = {
        **fields,
        "skills": [*fields["skills"], "Juggling"],
        "education": [*fields["education"], *fields["education"]],
    }
    marked = score(fields, made_up, about["also"])
    assert sum(marked.total.values()) - sum(marked.right.values()) == 1 + len(fields["education"])


def test_fields_and_names_of_all_documents_reach_their_bounds(scores: dict[str, Score]) -> None:
    total, kinds = Score(), defaultdict[str, Score](Score)
    for name, about in truths().items():
        total.include(scores[name])
        kinds[about["kind"]].include(scores[name])
        kinds[about["language"]].include(scores[name])
    print("\n".join(total.lines()))
    print("\n".join(f"{kind:28} {made.share:7.1%}" for kind, made in sorted(kinds.items())))
    names = total.right["name"] / total.total["name"]
    print(
        f"all fields {total.share:.2%} of {sum(total.total.values())} units; names {names:.1%} of {len(scores)} documents"
    )
    assert total.share >= FIELDS
    assert names >= NAMES
