"""A shadow run of two versions of `segmentation` over 50 volumes, from the command to the report."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processors.segmentation import Segmentation
from schemas.records import SegmentationInput
from streams.cli.run import run
from streams.testing import Flow
from tests.harness.processors.bolder import BolderSegmentation
from tests.harness.volumes import ball, write_nifti

VOLUMES = 50
BACKEND = "http://backend.example/done"
NIFTI = "application/x-nifti"

Sluice = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """A flow whose 50 jobs have completed by version 1.0, with their callbacks."""
    folder = tmp_path_factory.mktemp("volumes")
    with Flow(Segmentation, BolderSegmentation) as flow:
        for n in range(VOLUMES):
            claim = flow.upload(write_nifti(folder / f"{n}.nii", volume(n)), NIFTI)
            flow.submit("segmentation", SegmentationInput(claim), callback_url=BACKEND, case_id=f"case-{n}")
        flow.settle()
        yield flow


@pytest.fixture
def sluice(flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run a command on the flow's log and stores; return what it printed on stdout and on stderr."""
    settings = flow.settings
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "SLUICE_HOME": str(settings.home),
        "SLUICE_OBJECTS_URL": settings.objects_url,
    }.items():
        monkeypatch.setenv(name, value)

    def call(*argv: str, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert run([*argv]) == code
        return capsys.readouterr()

    return call


def volume(n: int) -> np.ndarray[Any, Any]:
    """A small ball with a bright spot, another one for each number."""
    data = ball((24, 24, 24), 11.8)
    x, y, z = np.random.default_rng(n).integers(8, 14, 3)
    data[x : x + 4, y : y + 4, z : z + 4] += 1500
    return data


def test_a_shadow_run_over_50_volumes_prints_dice_per_case_and_sends_no_callback(
    flow: Flow, sluice: Sluice, tmp_path: Path
) -> None:
    live = {callback.job_id: flow.job(callback.job_id) for callback in flow.callbacks}
    assert len(live) == VOLUMES
    _, said = sluice("replay", "--processor", "segmentation", "--to-version", "2.0", "--detach", "--reason", "bolder")
    replay_id = re.findall(r"sluice replay report (\S+)", said)[0]

    printed, said = sluice("replay", "report", replay_id, code=8)
    assert f"{VOLUMES} cases: {VOLUMES} open" in printed
    assert f"Partial: {VOLUMES} of {VOLUMES} shadow runs have not ended." in said

    flow.settle()
    page = tmp_path / "report.html"
    printed, _ = sluice("replay", "report", replay_id, "--html", str(page))
    dice = dict(re.findall(r"^(\S+) +case-\d+ +different +mask Dice (\d\.\d{4}), [+-]", printed, re.MULTILINE))
    assert dice.keys() == live.keys()
    assert all(0.5 < float(value) < 1 for value in dice.values())
    assert re.search(r"^mask +Dice +50 +50 +0\.\d+ \+0\.\d+ ml", printed, re.MULTILINE)
    assert re.search(r"^lesion_volume_mm3 +number +50 +50 ", printed, re.MULTILINE)

    document = json.loads(sluice("replay", "report", replay_id, "--json")[0])
    assert (document["complete"], document["to_version"], len(document["cases"])) == (True, "2.0", VOLUMES)
    for case in document["cases"]:
        assert (case["before"]["model_version"], case["after"]["model_version"]) == ("1.0", "2.0")
        [mask] = [field["mask"] for field in case["fields"] if field["kind"] == "mask"]
        assert mask["change_ml"] > 0
        assert f"{mask['dice']:.4f}" == dice[case["job_id"]]
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert page.read_text().count('class="mask"') == VOLUMES

    assert len(flow.callbacks) == VOLUMES
    for job_id, before in live.items():
        after = flow.job(job_id)
        assert (after.run, after.output, len(after.deliveries)) == (0, before.output, 1)
        assert (flow.job(job_id, 1).mode, flow.job(job_id, 1).state) == ("shadow", "COMPLETED")


def test_a_version_that_no_worker_serves_is_refused_at_once(flow: Flow, sluice: Sluice) -> None:
    replays = len(flow.database.replays)
    _, said = sluice("replay", "--processor", "segmentation", "--to-version", "3.0", "--detach", code=2)
    assert "No worker of 'segmentation' serves version '3.0'; served: 1.0, 2.0." in said
    assert len(flow.database.replays) == replays


def test_a_shadow_run_needs_its_processor_and_takes_no_edit(sluice: Sluice, tmp_path: Path) -> None:
    assert "--processor" in sluice("replay", "--since", "1h", "--to-version", "2.0", code=2)[1]
    (tmp_path / "edit.json").write_text("[]")
    options = ("--processor", "segmentation", "--to-version", "2.0", "--edit", str(tmp_path / "edit.json"))
    assert "old inputs" in sluice("replay", *options, code=2)[1]


def test_a_replay_that_is_no_shadow_run_has_no_report(flow: Flow, sluice: Sluice) -> None:
    job_id = flow.callbacks[0].job_id
    printed, _ = sluice("replay", job_id, "--callbacks", "none", "--detach", "--json")
    assert "is no shadow run" in sluice("replay", "report", json.loads(printed)["replay_id"], code=2)[1]
    assert "There is no replay" in sluice("replay", "report", "0" * 8 + "-0000-7000-8000-" + "0" * 12, code=5)[1]


def test_an_existing_file_is_replaced_by_a_private_one(flow: Flow, sluice: Sluice, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("old")
    page.chmod(0o644)
    options = ("--processor", "segmentation", "--to-version", "2.0", "--max", "1", "--detach", "--json")
    replay_id = json.loads(sluice("replay", *options)[0])["replay_id"]
    sluice("replay", "report", replay_id, "--html", str(page), code=8)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert page.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [page]
    missing = tmp_path / "no" / "report.html"
    assert "can't be written" in sluice("replay", "report", replay_id, "--html", str(missing), code=2)[1]
