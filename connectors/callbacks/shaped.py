"""Gives a callback its backend's own shape, then makes the try. A callback without a profile passes unchanged.

The body is made from the standard event at each try, because a waiting delivery keeps no file in memory.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.callbacks.file_body import (
    FileBody,
    FileSegment,
    FormField,
    Segment,
    claims_of,
    json_segments,
    multipart_segments,
)
from connectors.callbacks.profile import CallbackProfiles, Format, Message, Moment, with_path
from connectors.callbacks.template import claim_at, render
from schemas.errors import InvalidInput, SluiceError
from schemas.records import Claim

#: Writes a claim's bytes into a folder and returns the file, like `connectors.objects.ClaimStore.fetch`.
Fetch = Callable[[Claim, Path], Path]

#: Files that are fetched or read at a time.
THREADS = 4
_TYPE = re.compile(rb'\{"type":"([a-z.]+)"')
_MOMENTS = {b"job.completed": Moment.SUCCESS, b"job.progress": Moment.PROGRESS, b"batch.completed": Moment.BATCH}


class ShapedDeliverer:
    """`open_store` returns the function that fetches files; it is called at the first file. Open as a `Deliverer`."""

    def __init__(self, deliverer: Deliverer, profiles: CallbackProfiles, open_store: Callable[[], Fetch]) -> None:
        self._deliverer = deliverer
        self._profiles = profiles
        self._open_store = open_store
        self._fetch: Fetch | None = None
        self._threads = ThreadPoolExecutor(THREADS, "notify-files")

    async def __aenter__(self) -> ShapedDeliverer:
        await self._deliverer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._deliverer.__aexit__(kind, error, trace)

    def deliver(self, callback: OutgoingCallback) -> Coroutine[Any, Any, DeliveryTry]:
        """Make one try, as `Deliverer.deliver`."""
        if callback.profile is None and not self._profiles.bound:
            return self._deliverer.deliver(callback)
        return self._deliver_shaped(callback)

    async def _deliver_shaped(self, callback: OutgoingCallback) -> DeliveryTry:
        began = time.perf_counter()
        try:
            shaped = await self._shape(callback)
        except InvalidInput as error:
            return DeliveryTry(None, _ms_since(began), str(error), TryResult.REFUSED, sent=False)
        except SluiceError as error:  # the object store is away: no fault of the destination
            return DeliveryTry(None, _ms_since(began), str(error), TryResult.RETRY, sent=False)
        if shaped is None:
            return DeliveryTry(None, 0.0, None, TryResult.SKIPPED, sent=False)
        try:
            return await self._deliverer.deliver(shaped)
        finally:
            if isinstance(shaped.body, FileBody):
                shaped.body.close()

    async def _shape(self, callback: OutgoingCallback) -> OutgoingCallback | None:
        """Return the callback in its shape; None if its profile sends nothing now. Raises InvalidInput, SluiceError."""
        assert isinstance(callback.body, bytes)
        moment = moment_of(callback.body)
        message = self._profiles.message(moment, callback.profile, callback.processor, callback.destination)
        if message.format is Format.NONE:
            return None
        shaped = callback._replace(
            destination=with_path(callback.destination, message.path),
            headers=message.headers,
            timeout_s=self._timeout_s(message, callback.timeout_s),
        )
        if message.format is Format.STANDARD:
            return shaped
        segments, content_type = form(message, json.loads(callback.body))
        return shaped._replace(body=await self._with_files(segments), content_type=content_type)

    def _timeout_s(self, message: Message, most_s: float | None) -> float:
        timeout_s = message.timeout_s or self._deliverer.timeout_s
        return timeout_s if most_s is None else min(timeout_s, most_s)

    async def _with_files(self, segments: Sequence[Segment]) -> bytes | FileBody:
        if not any(isinstance(one, FileSegment) for one in segments):
            return b"".join(one for one in segments if isinstance(one, bytes))
        loop = asyncio.get_running_loop()
        files = await loop.run_in_executor(self._threads, self._fetch_all, claims_of(segments))
        return FileBody(segments, files, self._threads)

    def _fetch_all(self, claims: Sequence[Claim]) -> list[BufferedReader]:
        """Fetch the files and open them. They have no names any more then, so that none is left behind by a crash."""
        fetch = self._fetch = self._fetch or self._open_store()
        with ExitStack() as opened, tempfile.TemporaryDirectory(prefix="sluice-callback-") as folder:
            files = [opened.enter_context(fetch(claim, Path(folder)).open("rb")) for claim in claims]
            opened.pop_all()
            return files


def moment_of(event: bytes) -> Moment:
    """Return the moment that a standard event reports, by its type, which comes first."""
    found = _TYPE.match(event)
    return _MOMENTS.get(found[1] if found else b"", Moment.FAILURE)


def form(message: Message, event: dict[str, Any]) -> tuple[list[Segment], str]:
    """Return the body of a message about this event, and its content type. Raises InvalidInput."""
    body = None if message.body is None else json_segments(render(message.body, event))
    if message.format is Format.JSON:
        return body or [b"null"], "application/json"
    fields = [] if body is None else [FormField(message.body_part, body, "application/json")]
    for part in message.files:
        claim = claim_at(event, part.path)
        if claim is not None:
            content = FileSegment(claim, encoded=False)
            fields.append(FormField(part.name, [content], claim.content_type, part.filename))
    return multipart_segments(fields)


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
