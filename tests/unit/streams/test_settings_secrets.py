"""A processor's process gets no credentials."""

from __future__ import annotations

import pytest

from streams.settings import Settings, child_environment, secret_variables


def test_settings_of_a_secret_type_stay_with_the_parent() -> None:
    secret = {f"SLUICE_{name}".upper() for name, field in Settings.model_fields.items() if "Secret" in repr(field)}
    assert secret
    assert secret <= secret_variables()
    assert {"DATABASE_URL", "SLUICE_KAFKA_CONFIG", "PGPASSWORD"} <= secret_variables()


def test_case_does_not_matter_and_other_variables_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("database_url", "postgresql://a:b@c/d")
    monkeypatch.setenv("SLUICE_Callback_Secrets", "whsec_x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    environment = child_environment()
    assert not {"DATABASE_URL", "SLUICE_CALLBACK_SECRETS"} & {name.upper() for name in environment}
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"
