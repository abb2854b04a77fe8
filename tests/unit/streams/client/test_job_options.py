"""Every option is described, and is one that a job's header has."""

from __future__ import annotations

from dataclasses import fields

import pytest

from schemas.records import JobHeader
from streams.client.job_options import OPTIONS, describe

#: Set by the engine, never by who submits.
ENGINE_FIELDS = {"job_id", "processor", "created_at", "input_sha256", "source_coordinates"}


def test_the_options_are_the_fields_of_a_header_that_the_engine_does_not_set() -> None:
    assert OPTIONS.keys() == {field.name for field in fields(JobHeader)} - ENGINE_FIELDS


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_described_in_sentences(name: str) -> None:
    assert describe(name)[0].isupper()
    assert describe(name).endswith(".")


def test_a_description_says_the_limit_and_the_default() -> None:
    assert describe("max_attempts").endswith("At least 1. Default: 3.")
    assert describe("case_id").endswith("At most 256 characters. Default: none.")
