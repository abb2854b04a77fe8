"""`sluice router --check`, `--schema`, and the doctor's line about the rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.cli.check import Severity
from streams.cli.doctor_declarations import processors, routing_rules
from streams.cli.router import router
from streams.settings import Settings

GOOD = '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "x" } }]'


def test_a_file_without_mistakes_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.toml").write_text(GOOD)
    assert router(check=tmp_path / "rules.toml") == 0
    assert "1 upload rules and 0 joins, nothing wrong" in capsys.readouterr().out


def test_a_file_with_a_mistake_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(GOOD.replace("echo", "ecko"))
    with pytest.raises(UsageError, match="upload rule 'r', submit 1, processor: There is no processor 'ecko'"):
        router(check=tmp_path / "rules.toml")


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert router(schema=True) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Routing rules of sluice"


def test_doctor_checks_the_rules_that_are_set(tmp_path: Path) -> None:
    assert routing_rules(Settings(home=tmp_path)) == []
    settings = Settings(home=tmp_path, router_rules=tmp_path / "rules.toml")
    (check,) = routing_rules(settings)
    assert (check.severity, "can't be read" in check.detail) == (Severity.PROBLEM, True)
    (tmp_path / "rules.toml").write_text(GOOD)
    (check,) = routing_rules(settings)
    assert check.severity is Severity.OK


def test_doctor_names_a_callback_profile_of_a_rule_that_the_file_of_shapes_lacks(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(GOOD.replace("{ processor", '{ callback_profile = "old-backend", processor'))
    (tmp_path / "shapes.toml").write_text('[profiles.old_backend.success.body]\njob = "$.data.job_id"\n')
    rules = Settings(home=tmp_path, router_rules=tmp_path / "rules.toml")
    assert [check.severity for check in routing_rules(rules)] == [Severity.OK]
    (check,) = routing_rules(rules.model_copy(update={"callback_shapes": tmp_path / "shapes.toml"}))
    assert check.severity is Severity.PROBLEM
    assert "'old-backend'" in check.detail
    assert "'old_backend'" in str(check.next_step)


def test_doctor_names_processors_of_the_settings_that_are_not_installed(tmp_path: Path) -> None:
    (check,) = processors(Settings(home=tmp_path, leased=("segmentation",)))
    assert check.severity is Severity.OK
    (check,) = processors(Settings(home=tmp_path, leased=("segmentatoin",)))
    assert (check.severity, check.detail) == (Severity.PROBLEM, "SLUICE_LEASED names segmentatoin: not installed here")
    assert "Did you mean segmentation?" in str(check.next_step)
