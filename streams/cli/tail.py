"""`sluice tail`: print a topic's records."""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from streams.cli.options import COUNT, Json
from streams.cli.output import json_text, jsonable, out, out_json

if TYPE_CHECKING:
    from streams.admin.tail import LogRecord, TopicReader
    from streams.settings import Settings

What = Annotated[str, Parameter(help="Name of a processor (shows its results), or of a topic.")]
Requests = Annotated[bool, Parameter(help="Show the processor's live requests.")]
Bulk = Annotated[bool, Parameter(help="Show the processor's bulk requests.")]
Results = Annotated[bool, Parameter(help="Show the processor's results, one per attempt. This is the default.")]
Outcomes = Annotated[bool, Parameter(help="Show the processor's outcomes, one per run of a job.")]
DeadLetters = Annotated[
    bool,
    Parameter(help="Show the dead letters of all processors: records that could not be processed, with the error."),
]
FromBeginning = Annotated[bool, Parameter(help="Print every record that the topic still has, oldest first.")]
Count = Annotated[int, Parameter(name=["-n", "--last"], validator=COUNT, help="Number of newest records to print.")]
Follow = Annotated[bool, Parameter(name=["-f", "--follow"], help="Keep printing new records until Ctrl-C.")]


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
    """Print the decoded records of a topic.

    Each record is shown with partition, offset, time and key. No offset is
    committed, so this disturbs no consumer. Inputs and outputs are printed in
    full, including any personal data in them.

    For example:

        sluice tail echo                      # the last ten results
        sluice tail echo --outcomes -f        # outcomes as they arrive
        sluice tail echo --requests -n 1      # the newest request
        sluice tail dead-letters --from-beginning
        sluice tail progress -f --json | jq .value.stage
    """
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
    with _opened(settings, what, topic) as reader:
        _print(reader.everything() if from_beginning else reader.last(last), json)
        if follow:
            _print(reader.follow(threading.Event()), json)
    return 0


def _opened(settings: Settings, what: str, topic: str) -> TopicReader:
    """Open the topic. Raises NotFound, with the nearest name of a processor or topic, and Unreachable."""
    from schemas.contract import known_processors
    from schemas.errors import NotFound
    from streams.admin.tail import TopicReader

    try:
        return TopicReader(settings, topic)
    except NotFound as error:
        known = [*known_processors(), "uploads", "progress", "control", "dead-letters"]
        if what in known or not (near := difflib.get_close_matches(what, known, n=1, cutoff=0.5)):
            raise
        step = f"Did you mean `sluice tail {near[0]}`? {error.next_step}"
        raise NotFound(error.message, next_step=step) from error


def topic_of(settings: Settings, what: str, kinds: list[str]) -> str:
    """Return the full name of the topic. Raises UsageError, UnknownProcessor."""
    from schemas.contract import known_processors, unknown_processor
    from schemas.errors import UsageError

    names = settings.topics
    if len(kinds) > 1:
        raise UsageError(f"--{kinds[0]} and --{kinds[1]} can't be combined.", next_step="Give one of them.")
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
        out_json(record, indent=None) if as_json else out(as_text(record))
        sys.stdout.flush()  # so that a pipe gets each record at once


def as_text(record: LogRecord) -> str:
    """Format one record: a line with place and time, then the value."""
    at = f"{record.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] if record.at else "no time"
    head = f"{record.topic}[{record.partition}]@{record.offset}  {at}  key {record.key}"
    if record.undecodable is not None:
        reasons = {name: text for name, text in record.headers.items() if name.startswith("sluice-dl-")}
        why = "".join(f"\n  {name.removeprefix('sluice-dl-')}: {text}" for name, text in reasons.items())
        return f"{head}{why}\n  {len(record.value)} bytes that can't be decoded: {record.undecodable}"
    return f"{head}\n{json_text(_without_empty(jsonable(record.value)))}"


def _without_empty(value: Any) -> Any:
    """Drop empty fields; `--json` prints them all."""
    if not isinstance(value, dict):
        return value
    return {name: _without_empty(inner) for name, inner in value.items() if inner is not None and inner != {}}
