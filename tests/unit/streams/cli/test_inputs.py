"""Job inputs from options, files and pipes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.records import ECHO, SEGMENTATION
from streams.cli.inputs import content_type, pairs, read_inputs, with_files
from streams.settings import Settings


def test_json_on_the_command_line_is_one_job() -> None:
    assert read_inputs('{"message": "hi"}') == [{"message": "hi"}]


def test_a_file_with_one_object_over_many_lines_is_one_job(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"message": "hi"}, indent=4))
    assert read_inputs(str(path)) == [{"message": "hi"}]


def test_json_lines_are_many_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"message": "a"}\n\n{"message": "b"}\n')
    assert read_inputs(str(path)) == [{"message": "a"}, {"message": "b"}]


def test_a_list_is_many_jobs() -> None:
    assert read_inputs('[{"message": "a"}, {"message": "b"}]') == [{"message": "a"}, {"message": "b"}]


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"message": "piped"}'))
    assert read_inputs("-") == [{"message": "piped"}]


def test_no_input_is_an_empty_one() -> None:
    assert read_inputs(None) == [{}]


def test_an_empty_file_has_no_job(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(UsageError, match="no JSON object"):
        read_inputs(str(tmp_path / "empty"))


def test_the_error_for_broken_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"message": "a"}\n{"message": \n')
    with pytest.raises(UsageError, match="line 3"):
        read_inputs(str(path))


@pytest.mark.parametrize("text", ['{"threshold": NaN}', '{"threshold": -Infinity}'])
def test_a_number_that_json_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a JSON number"):
        read_inputs(text)


def test_an_input_must_be_an_object() -> None:
    with pytest.raises(UsageError, match="has a int"):
        read_inputs("[1]")


def test_the_error_for_a_missing_input_names_the_file() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        read_inputs("nowhere.json")


def test_labels_are_key_and_value() -> None:
    assert pairs(["ward=3", "note=a=b"], "--label") == {"ward": "3", "note": "a=b"}


@pytest.mark.parametrize("text", ["ward", "=3"])
def test_a_label_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--label"):
        pairs([text], "--label")


def test_a_file_becomes_a_claim_in_its_field(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"voxels")
    settings = Settings(home=tmp_path / "home")
    (input_,) = with_files(settings, SEGMENTATION, [{"threshold": 0.4}], [f"volume={scan}"])
    assert input_["threshold"] == 0.4
    assert input_["volume"]["size"] == 6
    assert input_["volume"]["content_type"] == "application/x-nifti"
    assert input_["volume"]["uri"].startswith((tmp_path / "home").as_uri())


def test_the_error_for_a_field_that_takes_no_file_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'threshold' .* does not take a file") as caught:
        with_files(Settings(home=tmp_path), SEGMENTATION, [{}], ["threshold=x"])
    assert caught.value.next_step == "Fields that take a file: volume."


def test_a_processor_without_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        with_files(Settings(home=tmp_path), ECHO, [{}], ["message=x"])
    assert caught.value.next_step == "No field of it takes a file."


def test_the_error_for_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.nii"):
        with_files(Settings(home=tmp_path), SEGMENTATION, [{}], ["volume=missing.nii"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.nii", "application/x-nifti"), ("a.zip", "application/zip"), ("a.unheard", "application/octet-stream")],
)
def test_the_content_type_follows_the_name(name: str, expected: str) -> None:
    assert content_type(Path(name)) == expected


def test_the_error_for_an_input_nested_too_deeply_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"message": "a"}\n' + "[" * 100_000)
    with pytest.raises(UsageError, match="line 2, has lists or objects nested too deeply"):
        read_inputs(str(path))
