"""Reads SLUICE_CALLBACK_SHAPES: a TOML file of callback profiles, or a folder of such files (docs/callbacks.md,
shapes.schema.json).

Everything is checked here, once, when a service starts: an error names the place in the file and the nearest right name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from connectors.callbacks.body import FIELDS, PROGRESS_FIELDS
from connectors.callbacks.places import Place
from connectors.callbacks.profile import (
    CallbackProfiles,
    DestinationDefaults,
    FilePart,
    Format,
    Message,
    Moment,
    Profile,
)
from connectors.callbacks.resolve import destination_of
from connectors.callbacks.template import Path, dotted
from connectors.callbacks.template_reader import parse_template
from schemas.errors import UsageError

#: Seconds that a callback about progress may take at most: the job's end waits for it.
LONGEST_PROGRESS_S = 20.0
LONGEST_S = 600.0
#: Headers that every callback has already, or that belong to the connection.
RESERVED = ("connection", "content-length", "content-type", "expect", "host", "te", "transfer-encoding", "upgrade")
#: The request's own option of each form of `[files]`.
_FILE_OPTIONS = ("from", "filename")
_MESSAGE_OPTIONS = ("format", "body", "files", "body_part", "path", "headers", "timeout_s")
_TIMEOUTS = {"success_timeout_s": Moment.SUCCESS, "failure_timeout_s": Moment.FAILURE}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_ENVELOPE = ("type", "timestamp", "data")
_ERROR = ("code", "message")
NO_PROFILES = CallbackProfiles()


def callback_profiles(file: FilePath | None) -> CallbackProfiles:
    """Return the profiles of SLUICE_CALLBACK_SHAPES, a file or a folder of them; none without one. Raises UsageError."""
    if file is None:
        return NO_PROFILES
    if file.is_dir():
        return _of_all(sorted(file.glob("*.toml")))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(
            f"The file of callback shapes {file} can't be read: {reason}.", next_step="Check SLUICE_CALLBACK_SHAPES."
        ) from error
    return parse_profiles(text, str(file))


def _of_all(files: list[FilePath]) -> CallbackProfiles:
    """Return what all files of a folder declare. Raises UsageError for a name that two of them have."""
    found: dict[str, dict[str, Any]] = {"profiles": {}, "processors": {}, "destinations": {}}
    for file in files:
        made = callback_profiles(file)
        for section, names in found.items():
            declared = getattr(made, section)
            if twice := names.keys() & declared.keys():
                raise (Place(str(file)) / section / min(twice)).error("another file of the folder declares it too")
            names.update(declared)
    return CallbackProfiles(**found)


def parse_profiles(text: str, file: str = "callback shapes") -> CallbackProfiles:
    """Return the profiles of a file's text. Raises UsageError."""
    place = Place(file)
    try:
        declared = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise place.error(f"it is not valid TOML: {error}") from error
    for name in declared:
        place.one_of(name, ("profiles", "processors", "destinations"), "section")
    profiles = {
        name: _profile(name, one, place / "profiles" / name)
        for name, one in _table(declared, "profiles", place).items()
    }
    processors = _table(declared, "processors", place)
    for processor, name in processors.items():
        (place / "processors" / processor).one_of(name, profiles, "profile")
    destinations = {}
    for written, defaults in _table(declared, "destinations", place).items():
        at = place / "destinations" / written
        for name in _names_of(written, at):
            destinations[name] = _defaults(defaults, profiles, at)
    return CallbackProfiles(profiles, processors, destinations)


def _profile(name: str, declared: Any, place: Place) -> Profile:
    if _NAME.fullmatch(name) is None:
        raise place.error("a profile's name is letters, digits, '.', '_' and '-'")
    messages = {}
    for moment, message in _as_table(declared, place).items():
        place.one_of(moment, tuple(Moment), "moment of a profile")
        messages[Moment(moment)] = _message(Moment(moment), _as_table(message, place / moment), place / moment)
    return Profile(name, messages)


def _message(moment: Moment, declared: Mapping[str, Any], place: Place) -> Message:
    for name in declared:
        place.one_of(name, _MESSAGE_OPTIONS, "option of a callback")
    chosen = declared.get("format", Format.JSON if "body" in declared else Format.STANDARD)
    (place / "format").one_of(chosen, tuple(Format), "format")
    format_ = Format(chosen)
    _check_used(declared, format_, place)
    known = PROGRESS_FIELDS if moment is Moment.PROGRESS else FIELDS

    def check(at: Place, path: Path) -> None:
        if moment is not Moment.BATCH:
            _check_path(at, path, known)

    body = parse_template(declared["body"], place / "body", check) if "body" in declared else None
    files = _table(declared, "files", place)
    return Message(
        format_,
        body,
        tuple(_file_part(name, one, place / "files" / name, check) for name, one in files.items()),
        _text(declared, "body_part", "event", _NAME, place),
        _text(declared, "path", "", _URL_PATH, place),
        _headers(_table(declared, "headers", place), place / "headers"),
        _seconds(declared, "timeout_s", place, LONGEST_PROGRESS_S if moment is Moment.PROGRESS else LONGEST_S),
    )


def _check_used(declared: Mapping[str, Any], format_: Format, place: Place) -> None:
    """Raise UsageError for an option that the format makes no use of: it would be ignored in silence."""
    allowed: Mapping[Format, tuple[str, ...]] = {
        Format.NONE: ("format",),
        Format.STANDARD: ("format", "path", "headers", "timeout_s"),
        Format.JSON: ("format", "body", "path", "headers", "timeout_s"),
        Format.MULTIPART: _MESSAGE_OPTIONS,
    }
    for name in declared:
        if name not in allowed[format_]:
            raise (place / name).error(f"the format {format_} makes no use of it")
    if format_ is Format.JSON and "body" not in declared:
        raise place.error("the format json needs a `body`")
    if format_ is Format.MULTIPART and not ("body" in declared or declared.get("files")):
        raise place.error("the format multipart needs a `body` or `files`")


def _check_path(place: Place, path: Path, fields: tuple[str, ...]) -> None:
    place.one_of(path[0], _ENVELOPE, "part of the event")
    if path[0] != "data":
        if len(path) > 1:
            raise place.error(f"{dotted(path)} has no parts")
        return
    if len(path) > 1:
        place.one_of(path[1], fields, "field of the event's data")
    if path[1:2] == ("error",) and len(path) > 2:
        place.one_of(path[2], _ERROR, "part of an error")


def _file_part(name: str, declared: Any, place: Place, check: Any) -> FilePart:
    if isinstance(declared, str):
        declared = {"from": declared}
    table = _as_table(declared, place)
    for option in table:
        place.one_of(option, _FILE_OPTIONS, "option of a file")
    template = parse_template({"$base64": table.get("from", "")}, place, check)
    path: Path = getattr(template, "path", ())
    filename = table.get("filename", name)
    if not isinstance(filename, str) or not filename or set(filename) & set('"\r\n/\\\0'):
        raise (place / "filename").error("it is not a file's name")
    return FilePart(name, path, filename)


def _headers(declared: Mapping[str, Any], place: Place) -> dict[str, str]:
    for name, value in declared.items():
        if _TOKEN.fullmatch(name) is None:
            raise (place / name).error("it is not a header's name")
        if name.lower() in RESERVED or name.lower().startswith("webhook-"):
            raise (place / name).error("sluice sets this header itself")
        if not isinstance(value, str) or _VALUE.fullmatch(value) is None:
            raise (place / name).error("a header's value is printable ASCII text")
    return dict(declared)


def _defaults(declared: Any, profiles: Mapping[str, Profile], place: Place) -> DestinationDefaults:
    table = {"profile": declared} if isinstance(declared, str) else _as_table(declared, place)
    for name in table:
        place.one_of(name, ("profile", *_TIMEOUTS), "option of a destination")
    if "profile" in table:
        (place / "profile").one_of(table["profile"], profiles, "profile")
    timeouts = {moment: _seconds(table, name, place, LONGEST_S) for name, moment in _TIMEOUTS.items()}
    return DestinationDefaults(
        table.get("profile"), {moment: value for moment, value in timeouts.items() if value is not None}
    )


def _names_of(written: str, place: Place) -> list[str]:
    """Return the destinations that `host:port` or `host` names; a host alone stands for the ports of http and https."""
    if "/" in written:
        raise place.error("a destination is a host, or host:port, without scheme and path")
    names = {destination_of(f"{scheme}://{written}") for scheme in ("http", "https")} - {""}
    if not names:
        raise place.error("it is neither a host nor host:port")
    return sorted(names)


def _seconds(table: Mapping[str, Any], name: str, place: Place, longest: float) -> float | None:
    value = table.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= longest:
        raise (place / name).error(f"it is a number of seconds, above 0 and at most {longest:g}")
    return float(value)


def _text(table: Mapping[str, Any], name: str, default: str, form: re.Pattern[str], place: Place) -> str:
    value = table.get(name, default)
    if value != default and (not isinstance(value, str) or form.fullmatch(value) is None):
        raise (place / name).error("it begins with / and has no query" if name == "path" else "it is not a name")
    return str(value)


def _table(declared: Mapping[str, Any], name: str, place: Place) -> Mapping[str, Any]:
    return _as_table(declared.get(name, {}), place / name)


def _as_table(value: Any, place: Place) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise place.error("it is a table")
    return value
