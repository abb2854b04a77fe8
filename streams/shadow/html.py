"""Elements of an HTML page: a text is escaped unless it is an element, so that no value of a job becomes markup."""

from __future__ import annotations

from html import escape

_EMPTY = {"img", "meta"}


class Markup(str):
    """HTML that may stand in a page as it is. Only `element` and `raw` make it."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element. Children and attributes are escaped; None is left out. `class_` stands for `class`, `_` for `-`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(children: object) -> Markup:
    """Return children one after the other; each may be a list of children."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, list | tuple):
        return Markup("".join(map(join, children)))
    return Markup(escape(str(children)))


def raw(text: str) -> Markup:
    """Return text of the program itself, such as a style sheet, without escaping it."""
    return Markup(text)
