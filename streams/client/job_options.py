"""What the texts among a job's options may be: short enough for every index, and such that Postgres and UTF-8 can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import UsageError

#: Characters. An index of Postgres has room for 2704 bytes, so for 256 characters of any script.
LONGEST_ID = 256
LONGEST_URL = 2048
LONGEST_LABEL = 1024
MOST_LABELS = 64

LIMITS: dict[str, int] = {
    **dict.fromkeys(
        (
            "tenant",
            "idempotency_key",
            "external_id",
            "case_id",
            "upload_id",
            "batch_id",
            "parent_job_id",
            "order_key",
            "callback_profile",
            "replay_id",
            "model_version",
            "lane",
        ),
        LONGEST_ID,
    ),
    "callback_url": LONGEST_URL,
}


def check_texts(options: Mapping[str, Any]) -> None:
    """Raises UsageError that names the option and its limit. What is absent, or None, is not looked at."""
    for name in options.keys() & LIMITS.keys():
        value = options[name]
        if value is not None:
            _check(name, value, LIMITS[name])
    if labels := options.get("labels"):
        _check_labels(labels)


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, Mapping):
        raise UsageError(f"labels is a {type(labels).__name__}; it takes names and texts.")
    if len(labels) > MOST_LABELS:
        raise UsageError(f"There are {len(labels)} labels; a job has {MOST_LABELS} at most.")
    for name, value in labels.items():
        _check("The name of a label", name, LONGEST_ID)
        _check(f"The label {name!r}", value, LONGEST_LABEL)


def _check(what: str, value: Any, longest: int) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{what} is a {type(value).__name__}; it takes a text.")
    if len(value) > longest:
        raise UsageError(f"{what} has {len(value)} characters; it has {longest} at most.")
    if "\0" in value:
        raise UsageError(f"{what} contains a NUL, which the database can't hold.")
    try:
        value.encode()  # costs nothing for ASCII
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} contains half a surrogate pair, which is no text.") from error
