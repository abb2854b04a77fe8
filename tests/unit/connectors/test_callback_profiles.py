"""Callback profiles: what a file may say, and what is refused at start-up, by its place."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from connectors.callbacks.profile import Format, Moment, with_path
from connectors.callbacks.profile_file import NO_PROFILES, callback_profiles, parse_profiles
from connectors.callbacks.shaped import form
from schemas.errors import InvalidInput, UsageError
from tests.harness.source_tree import ROOT

EXAMPLES = sorted((ROOT / "docs" / "callback_shapes").glob("*.toml"))
SCHEMA = json.loads((ROOT / "connectors" / "callbacks" / "shapes.schema.json").read_text())
URL = "http://backend:8000/cb"


def filled(template: str, event: dict[str, Any]) -> Any:
    """Return the body that the template makes of an event."""
    profiles = parse_profiles(f"[profiles.p.success]\nbody = {template}")
    [segment], content_type = form(profiles.profiles["p"].message(Moment.SUCCESS), event)
    assert content_type == "application/json"
    assert isinstance(segment, bytes)
    return json.loads(segment)


EVENT: dict[str, Any] = {
    "type": "job.completed",
    "timestamp": "2026-01-02T03:04:05.678901+00:00",
    "data": {
        "job_id": "j",
        "status": "COMPLETED",
        "output": {"n": 99.6, "items": [{"a": 1}, {"a": None}], "nil": None},
    },
}


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ('{ a = "text", b = 1, c = true, d = [1, "x"] }', {"a": "text", "b": 1, "c": True, "d": [1, "x"]}),
        ('{ id = "$.data.job_id", gone = "$.data.output.none.at.all" }', {"id": "j", "gone": None}),
        ('{ a = { "$from" = "data.output.nil", if_null = "omit" } }', {}),
        ('{ a = { "$from" = "data.output.nil", default = [] } }', {"a": []}),
        ('{ a = { "$from" = "data.output.n", as = "int" } }', {"a": 99}),
        ('{ a = { "$from" = "data.job_id", as = "int", default = 0 } }', {"a": 0}),
        ('{ a = { "$from" = "data.status", rename = { COMPLETED = "done" } } }', {"a": "done"}),
        ('{ a = { "$from" = "data.status", rename = { FAILED = "x" } } }', {"a": "COMPLETED"}),
        ('{ a = { "$from" = "data.status", rename = { FAILED = "x" }, rename_else = "y" } }', {"a": "y"}),
        ('{ a = { "$from" = "timestamp", as = "unix_s" } }', {"a": 1767323045}),
        ('{ a = { "$from" = "timestamp", as = "unix_ms" } }', {"a": 1767323045678}),
        ('{ a = { "$from" = "timestamp", as = "iso_z" } }', {"a": "2026-01-02T03:04:05.678Z"}),
        ('{ a = { "$each" = "data.output.items", item = { b = "$.a" } } }', {"a": [{"b": 1}, {"b": None}]}),
        ('{ a = { "$each" = "data.output.nil", item = "$.a" } }', {"a": None}),
        ('{ a = { "$literal" = { "$from" = "$.x" } } }', {"a": {"$from": "$.x"}}),
        (
            '{ a = "$.data.output.items.1.a", b = "$.data.output.items.0.a", c = "$.data.output.items.9" }',
            {"a": None, "b": 1, "c": None},
        ),
        ('"$.data.output"', EVENT["data"]["output"]),
        ("{ a = nan }", {"a": None}),
    ],
)
def test_a_body_is_made_from_the_standard_event(template: str, body: Any) -> None:
    assert filled(template, EVENT) == body


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("[profile.p]", "profile", "'profiles'"),
        ("[profiles.p.sucess]", "profiles.p", "'success'"),
        ("[profiles.p.success]\nbodi = 1", "profiles.p.success", "'body'"),
        ('[profiles.p.success]\nformat = "multi-part"', "profiles.p.success.format", "'multipart'"),
        ('[profiles.p.success.body]\na = "$.data.job_ids"', "profiles.p.success.body.a", "'job_id'"),
        ('[profiles.p.success.body]\na = "$.dat.job_id"', "profiles.p.success.body.a", "'data'"),
        ('[profiles.p.success.body]\na = "$.data.percent"', "profiles.p.success.body.a", "Known"),
        ('[profiles.p.failure.body]\na = "$.data.error.mesage"', "profiles.p.failure.body.a", "'message'"),
        ('[profiles.p.success.body]\na = { "$form" = "data.job_id" }', "profiles.p.success.body.a", "'$from'"),
        ('[profiles.p.success.body.a]\n"$from" = "data.run"\nas = "integer"', "body.a.as", "'int'"),
        ('[profiles.p.success.body.a]\n"$from" = "data.run"\nif_nul = "omit"', "body.a", "'if_null'"),
        ('[profiles.p.success.body.a]\n"$from" = "data.status"\nrename = { COMPLETE = "x" }', "a.rename", "'COMPLETED'"),
        ('[profiles.p.failure.body.a]\n"$from" = "data.error.code"\nrename = { TIMEOUT = "x" }', "rename", "TIMEOUT_ERROR"),
        ('[profiles.p.success.body]\na = { "$each" = "data.output" }', "profiles.p.success.body.a", ""),
        ('[profiles.p.success]\nformat = "json"', "profiles.p.success", ""),
        ('[profiles.p.success]\nformat = "none"\ntimeout_s = 3', "profiles.p.success.timeout_s", ""),
        ("[profiles.p.success]\ntimeout_s = 0", "profiles.p.success.timeout_s", ""),
        ('[profiles.p.progress]\nbody = 1\ntimeout_s = 30', "profiles.p.progress.timeout_s", ""),
        ('[profiles.p.success]\npath = "x?y=1"', "profiles.p.success.path", ""),
        ('[profiles.p.success]\nheaders = { Webhook-Id = "x" }', "success.headers.Webhook-Id", ""),
        ('[profiles.p.success]\nheaders = { x = "a\\r\\nb: c" }', "success.headers.x", ""),
        ('[processors]\necho = "vidoe"\n[profiles.video]', "processors.echo", "'video'"),
        ('[destinations]\n"h:1" = "vidoe"\n[profiles.video]', 'destinations."h:1".profile', "'video'"),
        ('[destinations."http://h"]', 'destinations."http://h"', ""),
        ('[destinations."h:1"]\ntimeout_s = 3', 'destinations."h:1"', "failure_timeout_s"),
        ("[profiles.p", "callback shapes", ""),
    ],
)  # fmt: skip
def test_an_error_in_the_file_names_its_place_and_the_nearest_right_name(text: str, place: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_profiles(text)
    assert place in caught.value.message
    assert hint in str(caught.value.next_step)


def test_a_file_that_is_not_there_is_an_error_and_none_means_the_standard_event(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SLUICE_CALLBACK_SHAPES"):
        callback_profiles(tmp_path / "gone.toml")
    assert callback_profiles(None) is NO_PROFILES
    assert NO_PROFILES.message(Moment.SUCCESS, None, "echo", URL).format is Format.STANDARD


SHAPES = parse_profiles("""
    [processors]
    echo = "by-processor"
    [destinations."backend:8000"]
    profile = "by-destination"
    success_timeout_s = 60
    failure_timeout_s = 10
    [destinations."plain.example"]
    failure_timeout_s = 7
    [profiles.named.success]
    timeout_s = 1
    [profiles.by-processor.progress]
    body = { percent = "$.data.percent" }
    [profiles.by-destination.failure]
    format = "none"
""")


def test_a_jobs_own_profile_goes_before_its_processors_and_that_before_its_destinations() -> None:
    jobs: list[tuple[str | None, str]] = [("named", "echo"), (None, "echo"), (None, "embed")]
    names = [SHAPES.find(named, processor, URL) for named, processor in jobs]
    assert [profile and profile.name for profile in names] == ["named", "by-processor", "by-destination"]
    assert SHAPES.find(None, "embed", "http://elsewhere/") is None
    with pytest.raises(InvalidInput, match="Did you mean 'named'"):
        SHAPES.find("name", "echo", URL)


def test_a_time_limit_is_the_profiles_else_the_destinations() -> None:
    def limit(moment: Moment, profile: str | None, url: str) -> float | None:
        return SHAPES.message(moment, profile, "embed", url).timeout_s

    assert limit(Moment.SUCCESS, "named", URL) == 1
    assert limit(Moment.FAILURE, "named", URL) == 10
    assert limit(Moment.SUCCESS, None, URL) == 60
    assert limit(Moment.FAILURE, None, "https://PLAIN.example/x") == 7
    assert limit(Moment.SUCCESS, None, "https://plain.example/x") is None


def test_progress_is_wanted_only_where_a_profile_sends_it() -> None:
    assert SHAPES.wants_progress(None, "echo", URL)
    assert not SHAPES.wants_progress("named", "echo", URL)
    assert not SHAPES.wants_progress("gone", "echo", URL)
    assert not SHAPES.wants_progress(None, "echo", None)
    assert SHAPES.message(Moment.PROGRESS, "named", "echo", URL).format is Format.NONE


def test_an_extra_path_goes_behind_the_callback_urls_path_and_before_its_query() -> None:
    assert with_path("http://h:1/a/?q=1", "/b/c") == "http://h:1/a/b/c?q=1"
    assert with_path("http://h:1", "/b") == "http://h:1/b"
    assert with_path("http://h:1/a?q", "") == "http://h:1/a?q"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid_by_the_reader_and_by_the_schema(path: Path) -> None:
    text = path.read_text()
    assert parse_profiles(text, path.name).profiles
    jsonschema.validate(tomllib.loads(text), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "[profile.p]",
        "[profiles.p.sucess]",
        '[profiles.p.success.body]\na = { "$form" = "data.job_id" }',
        '[profiles.p.success.body.a]\n"$from" = "data.run"\nas = "integer"',
        '[profiles.p.progress]\nbody = 1\ntimeout_s = 30',
        '[destinations."h:1"]\ntimeout_s = 3',
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_reader_refuses(text: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), SCHEMA)


def test_a_folder_of_files_declares_what_all_of_them_do_and_no_name_twice(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[processors]\nmri = "a"\n[profiles.a.success]\nbody = {}')
    (tmp_path / "b.toml").write_text('[processors]\nvideo = "b"\n[profiles.b.success]\nbody = {}')
    (tmp_path / "README.md").write_text("no shapes")
    found = callback_profiles(tmp_path)
    assert (sorted(found.profiles), dict(found.processors)) == (["a", "b"], {"mri": "a", "video": "b"})
    (tmp_path / "c.toml").write_text("[profiles.a.failure]\nbody = {}")
    with pytest.raises(UsageError, match=r"c\.toml.*profiles\.a.*another file"):
        callback_profiles(tmp_path)


def test_all_example_files_fit_together_in_one_folder() -> None:
    assert {"mri", "video"} <= callback_profiles(ROOT / "docs" / "callback_shapes").processors.keys()
