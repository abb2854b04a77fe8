"""Compares rules with the contracts of the processors that they name: fields, types and options. No I/O."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from connectors.callbacks.resolve import split_url
from schemas.contract import contract
from schemas.errors import SluiceError
from schemas.records import Claim, JobHeader, Upload
from streams.client.job_options import check_options
from streams.router.rules import JoinRule, Rules, Submit, mistakes, read_rules
from streams.router.templates import TEXT_OPTIONS, path_of, paths_of, well_formed
from streams.settings import Settings

#: Types of the values that paths begin with.
Roots = Mapping[str, Any]


def router_rules(settings: Settings) -> Rules | None:
    """Return the rules of SLUICE_ROUTER_RULES; None if it is not set. Raises as `checked_rules`."""
    return None if settings.router_rules is None else checked_rules(settings.router_rules)


def checked_rules(path: Path) -> Rules:
    """Read a file of rules and check it. Raises UsageError that names every mistake, StartupError."""
    rules = read_rules(path)
    if found := list(problems(rules)):
        raise mistakes(path, found)
    return rules


def problems(rules: Rules) -> Iterator[str]:
    """Yield a sentence for each mistake."""
    for rule in rules.upload:
        for number, submit in enumerate(rule.submit, 1):
            for one in _of_submit(submit, {"upload": Upload, "tenant": str, "case_id": str}):
                yield f"upload rule {rule.name!r}, submit {number}{one}"
    for join in rules.join:
        yield from _of_join(join)
    yield from _circles(rules.join)


def _circles(joins: Sequence[JoinRule]) -> Iterator[str]:
    """Yield a sentence for each join that starts itself through other joins: its jobs would never end."""
    feeds = {
        join.name: {
            other.name
            for other in joins
            if other is not join and {s.processor for s in join.submit} & {s.processor for s in other.of.values()}
        }
        for join in joins
    }
    for name in feeds:
        reached, ahead = set[str](), list(feeds[name])
        while ahead:
            if (rule := ahead.pop()) not in reached:
                reached.add(rule)
                ahead += feeds[rule]
        if name in reached:
            yield f"join rule {name!r}: its jobs start other joins that start it again, without end."


def _of_join(join: JoinRule) -> Iterator[str]:
    roots: dict[str, Any] = {"tenant": str, "case_id": str}
    for name, source in join.of.items():
        if source.processor is None:
            roots[name] = Upload
            continue
        try:
            output: Any = contract(source.processor).output
        except SluiceError as error:
            output = Any
            yield f"join rule {join.name!r}, of.{name}.processor: {error}"
        roots[name] = {"output": output, "header": JobHeader, "refs": list[Claim]}
    for number, submit in enumerate(join.submit, 1):
        for one in _of_submit(submit, roots):
            yield f"join rule {join.name!r}, submit {number}{one}"


def _of_submit(submit: Submit, roots: Roots) -> Iterator[str]:
    known = {}
    for path in sorted(paths_of(submit)):
        try:
            known[path] = type_of(path, roots)
        except _Wrong as wrong:
            known[path] = Any
            yield f": ${path}: {wrong}"
    try:
        target = contract(submit.processor).input
    except SluiceError as error:
        yield f", processor: {error}"
    else:
        for field, why in _misfits(submit.input, target, known):
            yield f", input{field}: {why}"
    yield from _of_options(submit, known)


def _of_options(submit: Submit, known: Mapping[str, Any]) -> Iterator[str]:
    texts = {name: getattr(submit, name) for name in TEXT_OPTIONS} | {
        f"labels.{name}": text for name, text in submit.labels.items()
    }
    for name, text in texts.items():
        if (path := path_of(text)) is not None and not fits(known[path], str):
            yield f", {name}: ${path} is {_named(known[path])}, a text is needed."
    literals = {name: text for name, text in texts.items() if name in TEXT_OPTIONS and path_of(text) is None}
    numbers = ("max_attempts", "soft_limit_ms", "hard_limit_ms", "model_version", "callback_profile")
    given = literals | {name: getattr(submit, name) for name in numbers}
    labels = {name: text for name, text in submit.labels.items() if path_of(text) is None}
    try:
        if (url := literals.get("callback_url")) is not None:
            split_url(url)
        check_options({name: value for name, value in given.items() if value is not None} | {"labels": labels})
    except SluiceError as error:
        yield f": {error}"


class _Wrong(Exception):
    """A mistake in a path. The message is a sentence."""


def type_of(path: str, roots: Roots) -> Any:
    """Return the type of a path's value. Raises _Wrong."""
    if not well_formed(path):
        raise _Wrong("this is no path; begin a text that is meant with `$$`.")
    first, *rest = path.split(".")
    if first not in roots:
        raise _Wrong(f"there is no {first!r}; a path begins with {_either(roots)}.")
    found: Any = roots[first]
    for part in rest:
        found = _member(found, part)
    if isinstance(found, Mapping):
        raise _Wrong(f"go on with {_either(found)}.")
    return found


def _member(holder: Any, name: str) -> Any:
    holder = _bare(holder)
    if holder is Any:
        return Any
    if isinstance(holder, Mapping):
        members = holder
    elif dataclasses.is_dataclass(holder):
        members = typing.get_type_hints(holder)
    elif typing.get_origin(holder) is list and name.isdecimal():
        return typing.get_args(holder)[0]
    elif typing.get_origin(holder) is dict:
        return typing.get_args(holder)[1]
    else:
        raise _Wrong(f"{_named(holder)} has no field {name!r}.")
    if name not in members:
        near = difflib.get_close_matches(name, members, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else f" There is {_either(members)}."
        raise _Wrong(f"there is no field {name!r}.{hint}")
    return members[name]


def _misfits(template: Any, target: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each place of a template that can't be of the target's type, and why."""
    target = _bare(target)
    if (path := path_of(template)) is not None:
        if not fits(known[path], target):
            yield "", f"${path} is {_named(known[path])}, {_named(target)} is needed."
    elif dataclasses.is_dataclass(target) and isinstance(template, Mapping):
        yield from _misfits_of_record(template, target, known)
    elif typing.get_origin(target) is dict and isinstance(template, Mapping):
        for name, inner in template.items():
            for place, why in _misfits(inner, typing.get_args(target)[1], known):
                yield f".{name}{place}", why
    elif typing.get_origin(target) is list and isinstance(template, list):
        for number, inner in enumerate(template, 1):
            for place, why in _misfits(inner, typing.get_args(target)[0], known):
                yield f" {number}{place}", why
    elif not _is_literal(template, target):
        is_number = isinstance(template, float) and not math.isfinite(template)
        found = "not finite" if is_number else _named(type(template))
        yield "", f"this is {found}, {_named(target)} is needed."


def _misfits_of_record(template: Mapping[str, Any], target: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    hints = typing.get_type_hints(target)
    for name in template.keys() - hints.keys():
        near = difflib.get_close_matches(name, hints, n=1, cutoff=0.5)
        yield (
            f".{name}",
            f"there is no such field. {f'Did you mean {near[0]!r}?' if near else f'There is {_either(hints)}.'}",
        )
    for field in dataclasses.fields(target):
        if field.name in template:
            for place, why in _misfits(template[field.name], hints[field.name], known):
                yield f".{field.name}{place}", why
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            yield f".{field.name}", f"{_named(target)} needs this field."


def fits(source: Any, target: Any) -> bool:
    """True if a value of the type `source` may be given where `target` is needed. A value that may be null is let through:
    whether it is there shows only then."""
    source, target = _bare(source), _bare(target)
    if Any in (source, target) or source == target or (source is int and target is float):
        return True
    if _is_union(target):
        return any(fits(source, arm) for arm in typing.get_args(target))
    if _is_union(source):
        return any(fits(arm, target) for arm in typing.get_args(source))
    if typing.get_origin(source) is None or typing.get_origin(source) is not typing.get_origin(target):
        return False
    return all(map(fits, typing.get_args(source), typing.get_args(target)))


def _is_literal(value: Any, target: Any) -> bool:
    if _is_union(target):
        return any(_is_literal(value, arm) for arm in typing.get_args(target))
    if target is Any:
        return True
    if target is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is target if target in (str, int, bool, datetime, date, time) else False


def _bare(hint: Any) -> Any:
    """Return the type without `None`."""
    if _is_union(hint):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _named(hint: Any) -> str:
    names = {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        dict: "a table",
        list: "a list",
    }
    plain = _bare(hint)
    if isinstance(plain, type) and plain in names:
        return names[plain]
    if typing.get_origin(plain) in names:
        return names[typing.get_origin(plain)] + f" of {typing.get_args(plain)[-1].__name__}"
    return getattr(plain, "__name__", str(plain))


def _either(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
