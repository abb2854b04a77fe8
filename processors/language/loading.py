"""Opens the language model that a processor's options name: a server, a Hugging Face directory, or none."""

from __future__ import annotations

import math

from processors.language.model import LanguageModel
from processors.protocol import LoadContext
from schemas.errors import StartupError

#: Options of a processor that uses a language model (docs/language_models.md).
LANGUAGE_OPTIONS = ("LLM_URL", "LLM_MODEL", "LLM_API_KEY", "LLM_DIR", "LLM_SHA256", "LLM_TIMEOUT_S")
_MOST_S = 3600.0


def open_language_model(ctx: LoadContext) -> LanguageModel | None:
    """Return the model that the options name; None if they name none: the processor then answers by its default.

    No server is asked here: while it is away, jobs fall back to the default, and once it runs they use it. Raises StartupError
    for options that contradict each other, ModelNotFound for a directory that can't be loaded.
    """
    url, directory = ctx.option("LLM_URL"), ctx.option("LLM_DIR")
    timeout_s = _seconds(ctx.option("LLM_TIMEOUT_S"))
    if url and directory:
        raise StartupError("LLM_URL and LLM_DIR are both set.", next_step="Set the one that is to answer.")
    for name in ("LLM_MODEL", "LLM_API_KEY"):
        if ctx.option(name) and not url:
            raise StartupError(f"{name} is set, but LLM_URL is not.", next_step="Set LLM_URL, or none of them.")
    if ctx.option("LLM_SHA256") and not directory:
        raise StartupError("LLM_SHA256 is set, but LLM_DIR is not.", next_step="Set LLM_DIR, or none of them.")
    if directory:
        return _directory_model(directory, ctx, timeout_s)
    if url:
        from processors.language.server import TIMEOUT_S, LanguageServer

        return LanguageServer(url, ctx.option("LLM_MODEL"), ctx.option("LLM_API_KEY"), timeout_s=timeout_s or TIMEOUT_S)
    return None


def _directory_model(directory: str, ctx: LoadContext, timeout_s: float | None) -> LanguageModel:
    try:
        from processors.language.directory_model import TIMEOUT_S, DirectoryModel
    except ImportError as error:
        raise StartupError(
            f"LLM_DIR needs a package that is not installed ({error.name}).", next_step="pip install 'sluice[llm]'"
        ) from error
    return DirectoryModel(directory, ctx.device, sha256=ctx.option("LLM_SHA256"), timeout_s=timeout_s or TIMEOUT_S)


def _seconds(text: str) -> float | None:
    """Return LLM_TIMEOUT_S; None if it is not set."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MOST_S:
        raise StartupError(
            f"LLM_TIMEOUT_S is not a number of seconds between 0 and {_MOST_S:g}.", next_step="The default is 120."
        )
    return seconds
