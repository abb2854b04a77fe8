"""No error about a setting, and no repr of the settings, shows a credential."""

from __future__ import annotations

import traceback

import pytest

from connectors.callbacks.sign import Signer
from schemas.errors import UsageError
from streams.settings import Settings, load_settings


@pytest.mark.parametrize("value", ['{"sasl.password": "s3cret"', '{"sasl.password": ["s3cret"]}', '"s3cret"', "s3cret"])
def test_an_invalid_kafka_config_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SLUICE_KAFKA_CONFIG", value)
    with pytest.raises(UsageError, match="SLUICE_KAFKA_CONFIG") as caught:
        load_settings()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_repr_of_the_settings_shows_no_credential() -> None:
    url = "http://user:s3cret@host"
    settings = Settings(kafka_config={"sasl.password": "s3cret"}, backend_url=url, objects_url=url)
    settings = settings.model_copy(update={"schema_registry_url": url})
    assert "s3cret" not in repr(settings)


def test_a_callback_secret_that_is_not_ascii_is_not_quoted() -> None:
    with pytest.raises(UsageError, match="not base64") as caught:
        Signer(["whsec_s3cret€"])
    assert "s3cret" not in str(caught.value)
