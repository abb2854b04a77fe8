"""Loads the languages that a processor of this package serves, by the option INTERVIEW_LANGUAGES."""

from __future__ import annotations

from collections.abc import Collection

from processors.interview.similarity import Affinity, load_affinity
from processors.interview.texts import LANGUAGES
from processors.protocol import LoadContext
from schemas.errors import InvalidInput, StartupError

#: INTERVIEW_LANGUAGES: `en`, `ko` or both by comma (the default). Korean takes about 500 MiB, English 200.
INTERVIEW_OPTIONS = ("INTERVIEW_LANGUAGES",)


def load_affinities(ctx: LoadContext) -> tuple[dict[str, Affinity], str]:
    """Return the affinity of each served language, and the sha256 of the English weights, empty without English.

    Raises StartupError for an unknown language, ModelNotFound if a package is missing or altered.
    """
    names = [name.strip() for name in ctx.option("INTERVIEW_LANGUAGES", ",".join(LANGUAGES)).split(",")]
    if not set(names) <= set(LANGUAGES):
        raise StartupError(
            f"INTERVIEW_LANGUAGES names {', '.join(sorted(set(names) - set(LANGUAGES)))[:60]!r}.",
            next_step=f"Known: {', '.join(LANGUAGES)}, separated by commas.",
        )
    sha256 = ""
    if "en" in names:
        from processors.interview.minilm import FILES

        sha256 = FILES["model.safetensors"]
    return {name: load_affinity(name, ctx.device) for name in dict.fromkeys(names)}, sha256


def unserved_language(language: str, served: Collection[str]) -> InvalidInput:
    """Return the error of a job in a language that this worker has not loaded."""
    return InvalidInput(
        f"This worker does not serve the language {language!r}, only {', '.join(sorted(served))}.",
        next_step="Add it to INTERVIEW_LANGUAGES.",
    )
