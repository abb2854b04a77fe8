"""Makes the request of a replay from the request of an earlier run. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.replay_store import LARGEST_EDIT, MOST_OPERATIONS, NONE, USUAL, JobFields, NewReplay, Replay
from schemas import headers
from schemas.codec import Encoder
from schemas.contract import AnyContract, contract
from schemas.envelope import header_of, input_hash, typed_input
from schemas.errors import Conflict, InvalidInput, UsageError
from schemas.plain import to_plain
from schemas.ranges import OutOfRange, number_check
from schemas.records import Coordinates
from schemas.states import Lane, Mode

Plain = dict[str, Any]

#: Operations of RFC 6902 that an edit may have.
OPERATIONS = ("add", "remove", "replace", "test")
FOREIGN_CLAIM = (
    "The edit puts a file into the input that the old input does not have; a replay for one tenant can't. "
    "Submit a new job with the file, or replay without a tenant."
)


def replayed_request(
    plain: Plain,
    replay: Replay | NewReplay,
    run: int,
    at: datetime,
    source: Coordinates | None,
    processor: str,
    encoder: Encoder,
    stored: JobFields | None = None,
) -> tuple[Plain, bytes]:
    """Return the header of the new run and its encoded request. Raises SluiceError if the request does not fit the contract."""
    header = replayed_header(plain["header"], replay, run, at, source, stored)
    if replay.edit is not None:
        edited, header["input_sha256"] = edited_input(plain["input"], replay, contract(processor), encoder)
        plain = {**plain, "input": edited}
    try:
        return header, encoder.encode({**plain, "header": header})
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise InvalidInput(f"Its request does not fit the present schema: {type(error).__name__}.") from error


def replayed_header(
    header: Mapping[str, Any],
    replay: Replay | NewReplay,
    run: int,
    at: datetime,
    source: Coordinates | None,
    stored: JobFields | None = None,
) -> Plain:
    """Return the header of the new run. Its own deadline, start time and idempotency key are over; `created_at` stays, because
    it is the job's. `stored`: the job's own fields; None if they are not known. An earlier replay may have put another
    callback, or none, into this header. Raises Conflict for the header of a shadow run, unless the new run is one, too."""
    _check_source(header.get("mode"), replay.mode)
    deadline = None if replay.deadline_s is None else at + timedelta(seconds=replay.deadline_s)
    changed = {
        "run": run,
        "attempt": 1,
        "mode": replay.mode,
        "lane": Lane.BULK.value,
        "deadline": deadline,
        "not_before": None,
        "idempotency_key": None,
        "replay_id": replay.replay_id,
        "source_coordinates": None if source is None else to_plain(source),
    }
    if stored is not None and header.get("replay_id") is not None:
        changed |= {"callback_url": stored.callback_url, "callback_profile": stored.callback_profile}
    if replay.mode == Mode.SHADOW or replay.callbacks == NONE:
        changed |= {"callback_url": None, "callback_profile": None}
    elif replay.callbacks != USUAL:
        changed["callback_url"] = replay.callbacks
    if replay.to_version is not None:
        changed["model_version"] = replay.to_version
    return {**header, **changed}


def check_edit(edit: list[dict[str, Any]]) -> None:
    """Raise UsageError for a patch that could make an input grow by more than its own size, or that no store can hold.

    `copy` and `move` are refused: 40 copies of a list into itself make it 2^40 times as long.
    """
    if len(edit) > MOST_OPERATIONS:
        raise UsageError(f"The edit has more than {MOST_OPERATIONS} operations.", next_step="Replace a larger part.")
    if any(one.get("op") not in OPERATIONS for one in edit):
        raise UsageError(
            f"An operation of the edit is none of {', '.join(OPERATIONS)}.",
            next_step="copy and move are not allowed; write the value itself.",
        )
    try:
        text = json.dumps(edit, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # NaN, half of a surrogate pair, or lists in lists in lists
        raise UsageError(f"The edit is no JSON: {type(error).__name__}.", next_step="See RFC 8259.") from error
    if len(text) > LARGEST_EDIT:
        raise UsageError(f"The edit has more than {LARGEST_EDIT // 1024} KiB.", next_step="Submit a new job instead.")
    if b"\\u0000" in text:
        raise UsageError("The edit has a NUL character, which can't be stored.", next_step="Leave it out.")


def edited_input(input_: Any, replay: Replay | NewReplay, made: AnyContract, encoder: Encoder) -> tuple[Plain, str]:
    """Apply a replay's JSON patch (RFC 6902) to an input; return it and its hash. Raises InvalidInput, UsageError."""
    import jsonpatch

    edit = replay.edit or []
    check_edit(edit)  # again, because a row may be older than the check, or made by other code
    try:
        edited = jsonpatch.apply_patch(input_, edit)
        plain = to_plain(typed_input(made, edited))
        # A submit checks that the tenant owns each claim; here, only those of the old input are known to be its own.
        if replay.tenant is not None and not _claims_in(plain) <= _claims_in(input_):
            raise InvalidInput(FOREIGN_CLAIM)
        number_check(encoder.type_of("input"), finite=True)(plain)
        return plain, input_hash(encoder, typed_input(made, plain))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise InvalidInput(f"The edit does not fit its input: {type(error).__name__}.") from error
    except OutOfRange as error:
        raise InvalidInput(f"The edited input can't be sent: {error}.") from error
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        raise InvalidInput(f"The edited input does not fit its schema: {type(error).__name__}.") from error


def _claims_in(plain: Any) -> set[tuple[str, str]]:
    """Return the URI and hash of every claim in an input."""
    if isinstance(plain, Mapping):
        own = {(str(plain["uri"]), str(plain["sha256"]))} if plain.keys() >= {"uri", "sha256"} else set()
        return own.union(*map(_claims_in, plain.values()))
    return set().union(*map(_claims_in, plain)) if isinstance(plain, list | tuple) else set()


def replayed_headers(old: Mapping[str, Any], header: Plain, *, edited: bool) -> dict[str, Any]:
    """Return the Kafka headers: those of the earlier request that are not the engine's, and the new run's own.

    Raises Conflict if the earlier request is a shadow run's by its Kafka headers, and the new run is none.
    """
    mode = old.get(headers.MODE)
    _check_source(headers.mode_of(mode.encode() if isinstance(mode, str) else mode), header["mode"])
    left_out = {headers.DEADLINE, *({headers.CLAIMS} if edited else ())}
    kept = {name: value for name, value in old.items() if name not in left_out and not name.startswith(_DEAD_LETTER)}
    own = dict(headers.request_headers(header_of({"header": header}), source="sluice/replay"))
    return {**kept, **own, headers.REPLAY: header["replay_id"].encode()}


def _check_source(mode: str | None, new_mode: str) -> None:
    """Check that the request of a shadow run makes no run that counts: its model version is the comparison's, not the job's."""
    if mode == Mode.SHADOW and new_mode != Mode.SHADOW:
        raise Conflict(
            "It is the request of a shadow run, which never becomes a run that counts.",
            next_step="To run the job itself again, give its id to `sluice replay`.",
        )


#: What a dead letter has besides its record's own headers.
_DEAD_LETTER = "sluice-dl-"
