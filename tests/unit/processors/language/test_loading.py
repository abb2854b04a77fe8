"""Options of a language model: which model they open, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from processors.language.loading import LANGUAGE_OPTIONS, open_language_model
from processors.language.model import LanguageModel
from processors.local import LocalLoadContext
from processors.protocol import LoadContext
from schemas.errors import StartupError

URL = "http://127.0.0.1:9/v1"


class Speaker:
    name = "speaker"
    options = LANGUAGE_OPTIONS


def opened(**options: str) -> LanguageModel | None:
    return open_language_model(cast(LoadContext, LocalLoadContext(Speaker, "cpu", options=options)))


def test_without_options_there_is_no_model() -> None:
    assert opened() is None
    assert opened(LLM_URL="", LLM_DIR="", LLM_TIMEOUT_S="5") is None


def test_a_server_is_opened_by_its_url_without_asking_it() -> None:
    model = opened(LLM_URL=URL, LLM_MODEL="exaone", LLM_TIMEOUT_S="5.5")
    assert model is not None
    assert model.name == "exaone"


@pytest.mark.parametrize(
    "options",
    [
        {"LLM_URL": URL},
        {"LLM_MODEL": "exaone"},
        {"LLM_API_KEY": "geheim"},
        {"LLM_URL": URL, "LLM_MODEL": "m", "LLM_DIR": "/models/exaone"},
        {"LLM_URL": URL, "LLM_MODEL": "m", "LLM_TIMEOUT_S": "soon"},
        {"LLM_URL": URL, "LLM_MODEL": "m", "LLM_TIMEOUT_S": "0"},
        {"LLM_URL": URL, "LLM_MODEL": "m", "LLM_TIMEOUT_S": "nan"},
        {"LLM_URL": URL, "LLM_MODEL": "m", "LLM_TIMEOUT_S": "99999"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="LLM_") as refused:
        opened(**options)
    assert "geheim" not in str(refused.value)
    assert refused.value.next_step
