"""`sluice tail`: a topic's records, decoded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import jsonable, out, say_json

if TYPE_CHECKING:
    from streams.log.tail import LogRecord
    from streams.settings import Settings

What = Annotated[str, Parameter(help="A processor's name, or a topic's.")]
Requests = Annotated[bool, Parameter(help="Of a processor: its requests.")]
Bulk = Annotated[bool, Parameter(help="Of a processor: its bulk requests.")]
Results = Annotated[bool, Parameter(help="Of a processor: every attempt's result. The default.")]
Outcomes = Annotated[bool, Parameter(help="Of a processor: each job's final word, once.")]
DeadLetters = Annotated[bool, Parameter(help="What could not be worked on, and why.")]
FromBeginning = Annotated[bool, Parameter(help="Everything that the topic still holds.")]
Count = Annotated[int, Parameter(name=["-n", "--last"], help="The newest N records.", show_default=True)]
Follow = Annotated[bool, Parameter(name=["-f", "--follow"], help="Go on with new records until Ctrl-C.")]


def tail(
    what: What,
    /,
    *,
    requests: Requests = False,
    bulk: Bulk = False,
    results: Results = False,
    outcomes: Outcomes = False,
    dead_letters: DeadLetters = False,
    from_beginning: FromBeginning = False,
    last: Count = 10,
    follow: Follow = False,
    json: Json = False,
) -> int:
    """Print the records of a topic, decoded.

    Each with its partition, offset, time and key. Nothing is committed: look as
    often as you like. Inputs and outputs are shown as they are.

    For example:

        sluice tail echo                      # the last ten results
        sluice tail echo --outcomes -f        # final words as they come
        sluice tail echo --requests -n 1      # the newest request
        sluice tail dead-letters --from-beginning
        sluice tail progress -f --json | jq .value.stage
    """
    from streams.log.tail import TopicReader
    from streams.settings import load_settings

    settings = load_settings()
    chosen = {
        "requests": requests,
        "bulk": bulk,
        "results": results,
        "outcomes": outcomes,
        "dead-letters": dead_letters,
    }
    topic = topic_of(settings, what, [kind for kind, wanted in chosen.items() if wanted])
    with TopicReader(settings, topic) as reader:
        _print(reader.everything() if from_beginning else reader.last(last), json)
        if follow:
            _print(reader.follow(threading.Event()), json)
    return 0


def topic_of(settings: Settings, what: str, kinds: list[str]) -> str:
    """The topic that is meant. Raises UsageError, UnknownProcessor."""
    from schemas.contract import known_processors, unknown_processor
    from schemas.errors import UsageError

    names = settings.topics
    if len(kinds) > 1:
        raise UsageError(f"--{kinds[0]} and --{kinds[1]} are two topics.", next_step="Ask for one at a time.")
    kind = kinds[0] if kinds else None
    if kind == "dead-letters":
        return names.dead_letters
    if what in known_processors():
        of_kind = {
            "requests": names.requests(what),
            "bulk": names.requests(what, "bulk"),
            "results": names.results(what),
            "outcomes": names.outcomes(what),
        }
        return of_kind[kind or "results"]
    if kind is not None:
        raise unknown_processor(what)
    return what if what.startswith(names.prefix) else names.prefix + what


def _print(records: Iterable[LogRecord], as_json: bool) -> None:
    for record in records:
        say_json(record, indent=None) if as_json else out(as_text(record))
        sys.stdout.flush()  # whoever reads a pipe wants each record as it comes


def as_text(record: LogRecord) -> str:
    """A line with where and when, and the value below it."""
    import json as codec

    at = f"{record.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] if record.at else "no time"
    head = f"{record.topic}[{record.partition}]@{record.offset}  {at}  key {record.key}"
    if record.undecodable is not None:
        told = {name: text for name, text in record.headers.items() if name.startswith("sluice-dl-")}
        why = "".join(f"\n  {name.removeprefix('sluice-dl-')}: {text}" for name, text in told.items())
        return f"{head}{why}\n  {len(record.value)} bytes that do not decode: {record.undecodable}"
    return f"{head}\n{codec.dumps(_told(jsonable(record.value)), indent=2, ensure_ascii=False)}"


def _told(value: Any) -> Any:
    """Without the fields that say nothing; `--json` has them all."""
    if not isinstance(value, dict):
        return value
    return {name: _told(inner) for name, inner in value.items() if inner is not None and inner != {}}
