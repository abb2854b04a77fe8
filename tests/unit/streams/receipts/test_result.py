"""`sluice result` writes what the job made, whole or not at all, and replaces nothing unasked."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.claim_uris import content_key
from connectors.objects import ObjectStore
from connectors.views import JobView
from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.records import Claim
from streams.cli.run import run
from streams.receipts.download import write_result
from streams.receipts.file_names import ending_of
from streams.testing import Flow
from tests.unit.streams.receipts.conftest import Submit


def test_the_output_and_its_files_are_written_under_the_names_of_their_fields(
    submit: Submit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, folder = submit(), tmp_path / "out"
    assert run(["result", job, "--output-dir", str(folder)]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [f"{folder}/output.json", f"{folder}/mask.nii.gz"]
    assert gzip.decompress((folder / "mask.nii.gz").read_bytes()) == b"a volume"
    assert json.loads((folder / "output.json").read_text())["lesion_count"] == 1


def test_writing_again_leaves_equal_files_and_refuses_to_replace_others(
    submit: Submit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, folder = submit(), tmp_path / "out"
    command = ["result", job, "--output-dir", str(folder), "--json"]
    assert run(command) == ExitCode.OK
    capsys.readouterr()
    assert run(command) == ExitCode.OK
    assert [file["written"] for file in json.loads(capsys.readouterr().out)["files"]] == [False, False]
    (folder / "mask.nii.gz").write_text("mine")
    (folder / "output.json").unlink()
    assert run(command) == ExitCode.CONFLICT
    assert [path.name for path in folder.iterdir()] == ["mask.nii.gz"], "nothing is written unless everything is"
    assert (folder / "mask.nii.gz").read_text() == "mine"
    assert run([*command, "--force"]) == ExitCode.OK
    assert gzip.decompress((folder / "mask.nii.gz").read_bytes()) == b"a volume"


def test_the_exit_status_says_how_the_job_ended(submit: Submit, flow: Flow, tmp_path: Path) -> None:
    failed = submit(threshold=2.0)
    flow.pause("segmentation")
    waiting = submit(threshold=0.25)
    folder = ["--output-dir", str(tmp_path / "out")]
    assert run(["result", failed, *folder]) == ExitCode.JOB_FAILED
    assert run(["result", waiting, *folder, "--wait", "0.05s"]) == ExitCode.WAIT_TIMED_OUT
    flow.cancel(waiting)
    flow.settle()
    assert run(["result", waiting, *folder, "--wait", "10s"]) == ExitCode.CANCELLED_OR_EXPIRED
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_altered_or_is_gone_leaves_nothing_behind(submit: Submit, flow: Flow, tmp_path: Path) -> None:
    job, folder = submit(), tmp_path / "out"
    (mask,) = flow.job(job).refs
    stored = flow.settings.home / "objects" / content_key(mask.sha256)
    stored.write_bytes(bytes(mask.size))
    assert run(["result", job, "--output-dir", str(folder)]) != ExitCode.OK
    stored.unlink()
    assert run(["result", job, "--output-dir", str(folder)]) == ExitCode.NOT_FOUND
    assert list(folder.iterdir()) == []


class _Interrupted(ObjectStore):
    def read(self, claim: Claim, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        yield b"first"
        raise KeyboardInterrupt


def test_ctrl_c_leaves_no_partial_file(submit: Submit, flow: Flow, tmp_path: Path) -> None:
    view = flow.job(submit())
    with pytest.raises(KeyboardInterrupt):
        write_result(view, _Interrupted("memory://"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["output.json"]


def _saved(store: ObjectStore, view: JobView, *names: str) -> JobView:
    claims = [store.put_bytes(name.encode(), "text/plain") for name in names]
    output = {name: {"uri": claim.uri, "sha256": claim.sha256} for name, claim in zip(names, claims, strict=True)}
    return replace(view, refs=claims, output=output)


def test_a_name_from_the_output_never_leads_out_of_the_folder_nor_to_another_file(
    submit: Submit, flow: Flow, tmp_path: Path
) -> None:
    store = ObjectStore("memory://")
    view = _saved(store, flow.job(submit()), "../../up", "a b", "a/b", ".hidden", "output")
    files = write_result(view, store, tmp_path / "out")
    names = [Path(file.path).name for file in files]
    assert names == ["output.json", "_.._up.txt", "a_b.txt", "a_b-2.txt", "hidden.txt", "output.txt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert list(tmp_path.glob("up*")) == []


def test_only_the_bytes_tell_a_compressed_nifti_from_a_plain_one() -> None:
    kind = "application/x-nifti"
    assert [ending_of(kind, head) for head in (b"\x1f\x8b\x08", b"\x5c\x01", b"")] == [".nii.gz", ".nii", ""]


def test_an_unknown_job_is_not_found(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.cli.job.PATIENCE_S", 0.0)
    assert run(["result", new_id()]) == ExitCode.NOT_FOUND
    assert run(["result", "nonsense"]) == ExitCode.USAGE
