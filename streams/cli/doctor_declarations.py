"""The checks of `sluice doctor` on what an installation declares: processors, callback profiles, routing rules."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.util import find_spec

from schemas.errors import SluiceError, UsageError
from streams.cli.check import Check, Severity
from streams.settings import Settings


def processors(settings: Settings) -> list[Check]:
    """Check that the processors that settings name are installed here. A misspelled one would be served by no worker."""
    from schemas.contract import known_processors

    known = known_processors()
    named = {"SLUICE_PROCESSORS": settings.processors, "SLUICE_LEASED": settings.leased}
    missing = {setting: [name for name in names if name not in known] for setting, names in named.items()}
    found = [
        Check(
            "processors",
            Severity.PROBLEM,
            f"{setting} names {', '.join(names)}: not installed here",
            _nearest(names, known),
        )
        for setting, names in missing.items()
        if names
    ]
    return found or [Check("processors", Severity.OK, f"installed: {', '.join(known)}")]


def _nearest(names: Sequence[str], known: Sequence[str]) -> str:
    near = [match for name in names for match in difflib.get_close_matches(name, known, n=1, cutoff=0.5)]
    hint = f"Did you mean {', '.join(near)}? " if near else ""
    return f"{hint}Correct the setting, or install them. Installed: {', '.join(known)}."


def _doors(settings: Settings) -> dict[str, str]:
    """Return the open doors of backends that expect bodies of their own: the setting, and the file of shapes."""
    doors = {
        "SLUICE_GATEWAY_BRAIN_TUMOUR": (settings.gateway_brain_tumour, "docs/callback_shapes/brain_tumour.toml"),
        "SLUICE_GATEWAY_VIDEO": (settings.gateway_video, "docs/callback_shapes/video_analysis.toml"),
    }
    return {name: file for name, (is_open, file) in doors.items() if is_open}


def callback_shapes(settings: Settings) -> list[Check]:
    """Read the file of callback profiles as the sink and notify do."""
    from connectors.callbacks.profile_file import callback_profiles
    from schemas.contract import known_processors

    if settings.callback_shapes is None and (doors := _doors(settings)):
        names, files = " and ".join(doors), " or ".join(doors.values())
        detail = f"none, but {names} is true: its backend expects another body than the standard event"
        step = f"Set SLUICE_CALLBACK_SHAPES to {files}, or to a copy with keys of your own."
        return [Check("callback shapes", Severity.WARNING, detail, step)]
    if settings.callback_shapes is None:
        return [Check("callback shapes", Severity.OK, "none: every callback is the standard event")]
    try:
        shapes = callback_profiles(settings.callback_shapes)
    except UsageError as error:
        return [Check("callback shapes", Severity.PROBLEM, error.message, error.next_step)]
    known = set(known_processors())
    missing = sorted(set(shapes.processors) - known)
    detail = f"{len(shapes.profiles)} profiles in {settings.callback_shapes}"
    if not missing:
        return [Check("callback shapes", Severity.OK, detail)]
    step = f"Correct the names under [processors]. Installed: {', '.join(sorted(known))}."
    return [Check("callback shapes", Severity.WARNING, f"{detail}; not installed here: {', '.join(missing)}", step)]


def routing_rules(settings: Settings) -> list[Check]:
    """Check the router's rules, if there are any, against the contracts of the processors installed here."""
    from streams.router.checks import router_rules

    try:
        rules = router_rules(settings)
    except SluiceError as error:
        return [Check("router rules", Severity.PROBLEM, error.message, error.next_step)]
    if rules is None:
        return []
    detail = f"{settings.router_rules}: {len(rules.upload)} upload rules, {len(rules.join)} joins"
    if unknown := _unknown_profiles(
        settings, [submit.callback_profile for rule in (*rules.upload, *rules.join) for submit in rule.submit]
    ):
        return [Check("router rules", Severity.PROBLEM, f"{detail}; {unknown.message}", unknown.next_step)]
    if find_spec("aiokafka") is None:
        step = "Install sluice[router] where `sluice router` runs."
        return [Check("router rules", Severity.WARNING, f"{detail}; the router can't run here", step)]
    return [Check("router rules", Severity.OK, detail)]


def _unknown_profiles(settings: Settings, names: Sequence[str | None]) -> SluiceError | None:
    """Return the error for the first callback profile that the file of shapes lacks; None without such a file here."""
    from connectors.callbacks.profile import unknown_profile
    from connectors.callbacks.profile_file import callback_profiles

    if settings.callback_shapes is None:
        return None
    known = callback_profiles(settings.callback_shapes).profiles
    return next((unknown_profile(name, known) for name in names if name and name not in known), None)
