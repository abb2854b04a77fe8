"""Edits of replayed inputs, on the twins: what they may put into an input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.replay_store import NewReplay, ReplayFilter
from processors.policy import Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput, UsageError
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import SEGMENTATION, Claim, SegmentationInput, SegmentationOutput
from schemas.states import Lane
from streams import wiring
from streams.replay.dry_run import dry_run
from streams.replay.start import ReplayOptions, new_replay
from streams.testing import Flow
from streams.timekeeper.replayed import FOREIGN_CLAIM


class Refuser:
    """Refuses every volume."""

    name, version = "segmentation", "1"
    request, result = SegmentationInput, SegmentationOutput
    policy = Policy()
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[SegmentationInput], ctx: JobContext) -> bytes:
        raise InvalidInput("no")

    def run(self, items: Sequence[bytes]) -> Sequence[bytes]:
        return items

    def finish(self, job: Job[SegmentationInput], raw: bytes, ctx: JobContext) -> SegmentationOutput:
        raise InvalidInput("no")


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow(Refuser(), contract=SEGMENTATION) as made:
        yield made


@pytest.fixture
def own(flow: Flow, tmp_path: Path) -> Claim:
    path = tmp_path / "volume.nii"
    path.write_bytes(b"a volume")
    claim = flow.upload(path)
    flow.submit("segmentation", SegmentationInput(claim), tenant="clinic")
    flow.settle()
    return claim


def replayed(
    flow: Flow, edit: list[dict[str, Any]], tenant: str | None = "clinic"
) -> tuple[list[str], str, str | None]:
    """Replay what failed; return what the dry run refuses, and the row's state and reason."""
    new = NewReplay(new_id(), "me", "", tenant=tenant, edit=edit)
    with wiring.replay_store(flow.settings) as store:
        refused = [one.reason for one in dry_run(flow.settings, store, new, ReplayFilter(states=["FAILED"])).refused]
        store.start(new, ReplayFilter(states=["FAILED"]))
        flow.settle()
        [row] = store.rows(new.replay_id, None, 10)
    return refused, row.state, row.reason


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"uri": "s3://files/other"}])
def test_an_edit_puts_no_other_file_into_the_job_of_a_tenant(flow: Flow, own: Claim, change: dict[str, Any]) -> None:
    foreign = to_plain(replace(own, **change))
    for edit in (
        [{"op": "replace", "path": "/volume", "value": foreign}],
        [{"op": "replace", "path": f"/volume/{name}", "value": value} for name, value in change.items()],
        [{"op": "replace", "path": "", "value": {"volume": foreign, "threshold": 0.5}}],
    ):
        assert replayed(flow, edit) == ([FOREIGN_CLAIM], "failed", FOREIGN_CLAIM)
    assert flow.records(flow.settings.topics.requests("segmentation", Lane.BULK)) == []
    assert replayed(flow, edit, tenant=None) == ([], "published", None)


def test_an_edit_may_leave_the_file_or_give_it_again(flow: Flow, own: Claim) -> None:
    given = {"op": "replace", "path": "/volume", "value": to_plain(own)}
    assert replayed(flow, [given, {"op": "replace", "path": "/threshold", "value": 0.4}]) == ([], "published", None)


BOMB = [{"op": "add", "path": "", "value": {"message": [0]}}] + [
    {"op": "copy", "from": "/message", "path": "/message/-"}
] * 40


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (BOMB, "none of add, remove, replace, test"),
        ([{"op": "move", "from": "/fail", "path": "/message"}], "none of add, remove, replace, test"),
        ([{"op": "test", "path": "/message", "value": "x"}] * 101, "more than 100 operations"),
        ([{"op": "add", "path": "/message", "value": "x" * 70_000}], "more than 64 KiB"),
        ([{"op": "add", "path": "/message", "value": float("nan")}], "no JSON"),
    ],
)
def test_an_edit_that_could_grow_without_end_is_refused_and_fails_the_row_of_an_older_replay(
    sluice_flow: Any, edit: list[dict[str, Any]], why: str
) -> None:
    flow: Flow = sluice_flow("echo")
    flow.submit("echo", {"message": "x", "fail": "INVALID_INPUT"}, tenant="clinic")
    flow.settle()
    with pytest.raises(UsageError, match=why):
        new_replay(flow.settings, {}, ReplayOptions("me", edit=edit))
    [refused], state, reason = replayed(flow, edit)
    assert (refused == reason, state, why in refused) == (True, "failed", True)
