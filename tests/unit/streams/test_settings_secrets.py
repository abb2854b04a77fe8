"""Which variables a processor's process is not given."""

from __future__ import annotations

import pytest

from streams.settings import Settings, child_environment, secret_variables


def test_every_setting_that_is_secret_by_its_type_stays_with_the_parent() -> None:
    secret = {f"SLUICE_{name}".upper() for name, field in Settings.model_fields.items() if "Secret" in repr(field)}
    assert secret
    assert secret <= secret_variables()
    assert {"DATABASE_URL", "SLUICE_KAFKA_CONFIG", "PGPASSWORD"} <= secret_variables()


def test_the_spelling_does_not_matter_and_the_rest_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("database_url", "postgresql://a:b@c/d")
    monkeypatch.setenv("SLUICE_Callback_Secrets", "whsec_x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    given = child_environment()
    assert not {"DATABASE_URL", "SLUICE_CALLBACK_SECRETS"} & {name.upper() for name in given}
    assert given["CUDA_VISIBLE_DEVICES"] == "3"
