"""A file of rules is checked: mistakes are named by file, rule and field, with the nearest name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from schemas.errors import UsageError
from streams.router.checks import checked_rules
from streams.router.rules import schema_text
from tests.harness.source_tree import ROOT
from tests.unit.streams.router.kit import RULES

SUBMIT = 'submit = [{ processor = "echo", input = { message = "hi" } }]'


def mistakes_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        checked_rules(path)
    assert str(path) in raised.value.message
    return raised.value.message


def test_the_rules_of_the_documents_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "routing.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```toml\n")[1:]]
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.toml").write_text(block)
        checked_rules(tmp_path / f"{number}.toml")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            '[[upload]]\nname = "r"\nknd = "x"\n' + SUBMIT,
            "upload rule 'r', knd: there is no such field (did you mean 'kind'?).",
        ),
        ('[[rule]]\nname = "r"\n', "rule: there is no such field."),
        ('[[uploads]]\nname = "r"\n', "uploads: there is no such field (did you mean 'upload'?)."),
        ("[[upload]]\n" + SUBMIT, "upload rule 1, name: Field required."),
        ("[[upload]", "are not TOML"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "x" }, deadline = "3000000d" }]',
            "at most 366 days",
        ),
        (
            '[[upload]]\nname = "r"\n'
            'submit = [{ processor = "echo", input = { message = "x" }, callback_url = "file:///etc/passwd" }]',
            "is not an absolute http:// or https:// URL",
        ),
        (
            '[[upload]]\nname = "r"\n'
            'submit = [{ processor = "segmentation", input = { volume = "$upload.claim", threshold = inf } }]',
            "this is not finite, a number is needed",
        ),
        ("", "there is no rule"),
        (f'[[upload]]\nname = "r"\n{SUBMIT}\n' * 2, "two rules are called 'r'"),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "ecko" }]',
            "submit 1, processor: There is no processor 'ecko'. Did you",
        ),
        ('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo" }, { processor = "echo" }]', "two jobs called 'echo'"),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { mesage = "x" } }]',
            "Did you mean 'message'?",
        ),
        ('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo" }]', "input.message: EchoInput needs this field."),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "$upload.clam" } }]',
            "$upload.clam: there is no field 'clam'. Did you mean 'claim'?",
        ),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "$upload.claim" } }]',
            "input.message: $upload.claim is Claim, a text is needed.",
        ),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "segmentation", input = { volume = "x" } }]',
            "input.volume: this is a text, Claim is needed.",
        ),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "$other.x" } }]',
            "there is no 'other'; a path begins with case_id, tenant, upload.",
        ),
        ('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", lane = "fast" }]', "submit 1.lane"),
        ('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", deadline = "soon" }]', "submit 1.deadline"),
        (
            '[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "x" }, max_attempts = 0 }]',
            "max_attempts must be at least 1",
        ),
        (f'[[join]]\nname = "j"\nof.a.processor = "echo"\n{SUBMIT}', "join rule 'j', of"),
        (
            f'[[join]]\nname = "j"\nof.a = {{}}\nof.b.processor = "echo"\n{SUBMIT}',
            "give either a processor or an upload",
        ),
        (
            f'[[join]]\nname = "j"\nof.tenant.processor = "embed"\nof.b.processor = "echo"\n{SUBMIT}',
            "can't be called 'tenant'",
        ),
        (
            f'[[join]]\nname = "j"\nwithin = "31d"\nof.a.processor = "embed"\nof.b.processor = "echo"\n{SUBMIT}',
            "at most 30d",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistake in mistakes_of(tmp_path, text)


def test_joins_that_start_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    text = """
[[join]]
name = "one"
of.a.processor = "echo"
of.b.upload.kind = "x"
submit = [{ processor = "embed", input = { pixels = [1, 2] } }]
[[join]]
name = "two"
of.a.processor = "embed"
of.b.upload.kind = "x"
submit = [{ processor = "echo", input = { message = "x" } }]
"""
    assert "join rule 'one': its jobs start other joins that start it again" in mistakes_of(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        checked_rules(tmp_path / "none.toml")


def test_the_json_schema_in_the_project_is_that_of_the_rules() -> None:
    committed = (ROOT / "streams" / "router" / "rules.schema.json").read_text()
    assert committed == schema_text()
    jsonschema.validate(tomllib.loads(RULES), json.loads(committed))
