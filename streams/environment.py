"""The environment that child processes inherit, with or without credentials, and the options that processors read from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import AliasChoices

from schemas.errors import StartupError
from streams.settings import Settings


def environment() -> dict[str, str]:
    """Return a copy of the environment, for a child process that inherits it."""
    return dict(os.environ)


@contextmanager
def variables(changed: Mapping[str, str]) -> Iterator[None]:
    """Set variables, which processes that are started meanwhile inherit, and restore them."""
    before = environment()
    os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def python_module(name: str, *args: str) -> list[str]:
    """Return the command that runs a module of ours under this interpreter.

    -P: the working directory is not searched for modules, so a folder there, such as `models/` or `schemas/`, shadows none.
    """
    return [sys.executable, "-P", "-m", name, *args]


def child_environment() -> dict[str, str]:
    """Return the environment for a processor's process, without the credentials that only its parent needs."""
    secret = secret_variables()
    return {name: value for name, value in os.environ.items() if name.upper() not in secret}


def option_values(names: Iterable[str]) -> dict[str, str]:
    """Return the variables that a processor names as its options, without those that are not set.

    Raises StartupError for a name that is one of the engine's own credentials: no processor gets those.
    """
    wanted = list(names)
    if taken := sorted(secret_variables() & {name.upper() for name in wanted}):
        raise StartupError(
            f"The option {taken[0]} is a credential of the engine, which no processor may read.",
            next_step="Give the processor an account of its own, in a variable with another name.",
        )
    return {name: os.environ[name] for name in wanted if name in os.environ}


def secret_variables() -> set[str]:
    """Return the variables that hold credentials: every setting of a secret type, the properties of Kafka's clients
    (sasl.password), and those of libpq."""
    names = {"PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "SLUICE_KAFKA_CONFIG"}
    for name, field in Settings.model_fields.items():
        if "SecretStr" in str(field.annotation):
            names.add(f"SLUICE_{name}".upper())
            if isinstance(field.validation_alias, AliasChoices):
                names.update(str(choice).upper() for choice in field.validation_alias.choices)
    return names
