"""The notations of dates in the résumés."""

from __future__ import annotations

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
SHORT = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec")


def exact(date: str, years_only: bool = False) -> str | None:
    """Return a date of a person as the truth has it: None for `present`."""
    if date == "present":
        return None
    return date[:4] if years_only else date


def written(date: str, notation: str, present: str) -> str:
    """Return a date (yyyy-mm or `present`) in a notation: a template with {y}, {yy}, {m}, {mm}, {month} or {mon}, and {dd} for
    a made-up day."""
    if date == "present":
        return present
    year, month = date.split("-")
    return notation.format(
        y=year, yy=year[2:], m=int(month), mm=month, month=MONTHS[int(month) - 1], mon=SHORT[int(month) - 1], dd="15"
    )


def span(start: str, end: str, notation: str, between: str, present: str) -> str:
    """Return both dates with `between` in the middle."""
    return written(start, notation, present) + between + written(end, notation, present)
