"""A processor's options: the settings of its own that it names in `options` and reads in `load` by `ctx.option`."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.errors import StartupError


def options_of(processor: type) -> tuple[str, ...]:
    """Return the names of the settings that a processor reads; none if its class has no `options`."""
    names = getattr(processor, "options", ())
    return (names,) if isinstance(names, str) else tuple(names)  # ("NAME") is a text, although it looks like a tuple


def option_of(processor: type, name: str, values: Mapping[str, str], default: str = "") -> str:
    """Return the value of an option from `values`; `default` if it is missing or empty.

    Raises StartupError if the processor's class does not name the option.
    """
    names = options_of(processor)
    if name not in names:
        listed = ", ".join(names) or "none"
        raise StartupError(
            f"{processor.__name__} asks for the option {name!r}, which its class does not name (it names: {listed}).",
            next_step=f"Add {name!r} to {processor.__name__}.options.",
        )
    return values.get(name) or default
