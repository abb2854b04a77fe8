"""A processor reads settings of its own by `ctx.option`: those that its class names, and no credential of the engine."""

from __future__ import annotations

import pytest

from processors.protocol import LoadContext
from schemas.errors import StartupError
from schemas.records import EchoInput
from streams.environment import child_environment, option_values
from streams.settings import Settings
from streams.testing import Flow, run_processor
from streams.worker.child.loader import load
from tests.unit.streams.testing.shout import SHOUT, Shout


class Tuned(Shout):
    """Its version says which greeting it has read."""

    options: tuple[str, ...] = ("GREETING", "PACS_PASSWORD")

    def load(self, ctx: LoadContext) -> None:
        self.version = ctx.option("GREETING", "hello")


class Careless(Tuned):
    def load(self, ctx: LoadContext) -> None:
        ctx.option("GREETINGS")


class Greedy(Tuned):
    options = ("GREETING", "DATABASE_URL")


def version_in_a_flow(options: dict[str, str] | None = None) -> str | None:
    with Flow(Tuned, contract=SHOUT, options=options) as flow:
        job = flow.submit("shout", {"message": "x"})
        flow.settle()
        receipt = flow.job(job).receipt
        assert receipt is not None
        return receipt.model_version


def test_an_option_is_the_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", "moin")
    assert load(Tuned(), "cpu", None).processor.version == "moin"
    assert version_in_a_flow() == "moin"


@pytest.mark.parametrize("value", [None, ""])
def test_an_option_that_is_not_set_or_empty_has_its_default(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("GREETING", raising=False)
    if value is not None:
        monkeypatch.setenv("GREETING", value)
    assert load(Tuned(), "cpu", None).processor.version == "hello"


def test_a_test_gives_options_in_place_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", "moin")
    assert version_in_a_flow({"GREETING": "salut"}) == "salut"
    assert version_in_a_flow({}) == "hello"
    assert run_processor(Tuned, EchoInput("x"), options={"GREETING": "salut"}).message == "X"


def test_a_name_that_the_class_lacks_stops_the_worker_and_is_named() -> None:
    with pytest.raises(StartupError, match=r"asks for the option 'GREETINGS'.*names: GREETING, PACS_PASSWORD"):
        load(Careless(), "cpu", None)


def test_one_text_is_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", "moin")
    monkeypatch.setattr(Tuned, "options", "GREETING")
    assert load(Tuned(), "cpu", None).processor.version == "moin"


def test_no_processor_reads_the_engines_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret@host/db")
    with pytest.raises(StartupError, match="DATABASE_URL is a credential") as caught:
        load(Greedy(), "cpu", None)
    assert "secret" not in str(caught.value)


def test_a_processors_own_secret_reaches_its_process_and_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_PASSWORD", "hidden")
    assert child_environment()["PACS_PASSWORD"] == "hidden"
    assert option_values(Tuned.options)["PACS_PASSWORD"] == "hidden"
    assert "hidden" not in str(Settings())
