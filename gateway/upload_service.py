"""Takes uploaded bytes into the object store, in flat memory, and accepts them (docs/adr/0025).

Everything that blocks (the object store, hashing, the database, Kafka) runs on threads; the event loop only reads requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial as partial_function
from typing import TypeVar

from connectors.archives import check_zip, is_zip
from connectors.incoming_object import IncomingObject
from connectors.object_backend import CHUNK
from connectors.upload_store import PRESIGNED, PartialUpload, UploadPart, UploadStore
from gateway.store_pool import StorePool
from schemas.errors import ClaimMismatch, InvalidInput, JobError, NotFound, PayloadTooLarge
from schemas.records import Claim, Upload
from streams import logs, wiring
from streams.client.uploads import UploadPublisher, new_upload, publish
from streams.settings import Settings

log = logs.get("gateway")

T = TypeVar("T")

#: Threads that write to the object store and hash: each is busy for one chunk of one request at a time.
THREADS = 8
#: Accepted uploads whose event is not published yet. Further ones are left to the timekeeper.
MOST_UNPUBLISHED = 1000
SOURCE = "sluice/gateway"


@dataclass(frozen=True, slots=True)
class About:
    """Facts about an upload that its client states.

    `sha256`: lower-case hex of all bytes; None: not stated. `upload_id`: of an upload that may be sent again, which is then the
    first one; None: each is a new one.
    """

    tenant: str
    content_type: str = "application/octet-stream"
    filename: str = ""
    kind: str = ""
    case_id: str | None = None
    sha256: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    upload_id: str | None = None


class UploadService:
    """For one event loop. `store` is used by requests; events are published by the task `publish_events`."""

    def __init__(self, settings: Settings, store: StorePool[UploadStore], events: StorePool[UploadStore]) -> None:
        self.settings = settings
        self.store = store
        self.objects = wiring.object_store(settings)
        self._events = events
        self._unpublished: asyncio.Queue[Upload] = asyncio.Queue(MOST_UNPUBLISHED)
        self._threads = ThreadPoolExecutor(THREADS, "gateway-objects")
        self._finishing: dict[str, asyncio.Task[Upload]] = {}

    @property
    def lifetime_s(self) -> float:
        return self.settings.upload_expires_h * 3600.0

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call to the object store on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # ── accepting ──

    async def receive(self, body: AsyncIterator[bytes], about: About) -> Upload:
        """Accept a body. Raises PayloadTooLarge, ClaimMismatch, InvalidInput: then nothing is stored."""

        async def write(incoming: IncomingObject) -> None:
            async for chunk in gathered(body, CHUNK):
                await self.run(partial_function(incoming.write, chunk))

        return await self._take(about, write)

    async def finish(self, partial: PartialUpload) -> Upload:
        """Accept an upload whose pieces are all stored. Several requests may ask for it at once.

        An upload that is refused is discarded, with its pieces.
        """
        task = self._finishing.get(partial.upload_id)
        if task is None:
            task = self._finishing[partial.upload_id] = asyncio.create_task(self._finish(partial))
            task.add_done_callback(lambda _: self._finishing.pop(partial.upload_id, None))
        return await asyncio.shield(task)  # a client that hangs up meanwhile finds it accepted

    async def discard(self, upload_id: str) -> None:
        """Delete an upload in pieces. Raises NotFound if it has ended meanwhile."""
        parts = await self.store.call(lambda store: store.parts(upload_id))
        if not await self.store.call(lambda store: store.discard(upload_id)):
            raise unknown()
        await self.delete_parts([part.name for part in parts])

    async def check_owned(self, tenant: str, claims: Iterable[Claim]) -> None:
        """Raise InvalidInput for a claim that is neither an upload of the tenant nor a file of one of its results."""
        wanted = list(claims)
        if not wanted:
            return
        stored_here = all(each.uri == self.objects.uri_of(each.sha256) for each in wanted)
        if stored_here and not await self.store.call(lambda s: s.foreign(tenant, [each.sha256 for each in wanted])):
            return
        raise InvalidInput(
            "A file that the input claims is not an upload of this tenant, nor a file of one of its results.",
            next_step="Upload the file with POST /v1/uploads, and put its `claim` into the input.",
        )

    async def _finish(self, partial: PartialUpload) -> Upload:
        store, upload_id = self.store, partial.upload_id
        parts = await store.call(lambda each: each.parts(upload_id))

        def pieces() -> Iterator[bytes]:
            if partial.protocol == PRESIGNED:
                yield from self.objects.incoming_chunks(upload_id)
            for part in parts:
                data = self.objects.get_named(part.name)
                if data is None or len(data) != part.size:
                    raise InvalidInput("A piece of the upload is gone from the object store.", next_step=AGAIN)
                yield data

        async def write(incoming: IncomingObject) -> None:
            def copy() -> None:
                for piece in pieces():
                    incoming.write(piece)

            await self.run(copy)

        about = About(
            partial.tenant,
            partial.content_type,
            partial.filename,
            partial.kind,
            partial.case_id,
            partial.sha256,
            partial.labels,
        )
        try:
            upload = await self._take(about, write, partial)
        except (InvalidInput, NotFound):
            if (done := await store.call(lambda each: each.get(partial.tenant, upload_id))) is not None:
                return done  # another gateway was faster, and has deleted the pieces
            given_up = not await store.call(lambda each: each.discard(upload_id))
            await self._delete_pieces(partial, parts)
            if given_up:
                raise unknown() from None
            raise
        await self._delete_pieces(partial, parts)
        return upload

    async def _delete_pieces(self, partial: PartialUpload, parts: Iterable[UploadPart]) -> None:
        await self.delete_parts([part.name for part in parts])
        if partial.protocol == PRESIGNED:
            with suppress(JobError):
                await self.run(lambda: self.objects.receive(partial.upload_id).discard())

    async def _take(
        self,
        about: About,
        write: Callable[[IncomingObject], Awaitable[None]],
        partial: PartialUpload | None = None,
    ) -> Upload:
        incoming = await self.run(lambda: self.objects.receive(max_bytes=self.settings.upload_max_bytes))
        try:
            await write(incoming)
            claim = await self.run(
                lambda: self._checked(incoming, about, partial.length if partial is not None else None)
            )
        except Exception:
            with suppress(JobError):
                await self.run(incoming.discard)
            raise
        upload = new_upload(
            claim,
            upload_id=partial.upload_id if partial is not None else about.upload_id,
            filename=about.filename,
            tenant=about.tenant,
            kind=about.kind,
            case_id=about.case_id,
            source=SOURCE,
            labels=about.labels,
        )
        added = await self.store.call(lambda store: store.add(upload, in_pieces=partial is not None))
        if not added:
            return await self._first(about)
        with suppress(asyncio.QueueFull):
            self._unpublished.put_nowait(upload)
        return upload

    async def _first(self, about: About) -> Upload:
        """Return the upload that was accepted before under this id. Raises NotFound if there is none."""
        upload_id = about.upload_id
        if upload_id is not None:
            found = await self.store.call(lambda store: store.get(about.tenant, upload_id))
            if found is not None:
                return found
        raise unknown()

    def _checked(self, incoming: IncomingObject, about: About, length: int | None) -> Claim:
        """Keep the object if it has the size and hash that its client states, and is no harmful archive."""
        incoming.finish()
        if length is not None and incoming.size != length:
            raise ClaimMismatch(f"The upload has {incoming.size} bytes, {length} were announced.", next_step=AGAIN)
        if about.sha256 is not None and incoming.sha256 != about.sha256:
            raise ClaimMismatch("The bytes do not have the sha256 that was stated.", next_step=AGAIN)
        with incoming.open() as file:
            if incoming.size and is_zip(about.content_type, file.read(4)):
                check_zip(file, incoming.size, self.settings.upload_max_unpacked_bytes)
        return incoming.keep(about.content_type)

    async def delete_parts(self, names: Iterable[str]) -> None:
        def delete() -> None:
            for name in names:
                self.objects.delete_named(name)

        with suppress(JobError):  # `sluice objects collect` finds what is left
            await self.run(delete)

    # ── events ──

    async def publish_events(self) -> None:
        """Publish the events of accepted uploads, as long as the gateway runs."""
        publisher = UploadPublisher(self.settings)
        while True:
            uploads = [await self._unpublished.get()]
            while not self._unpublished.empty():
                uploads.append(self._unpublished.get_nowait())
            try:
                await self._events.call(partial_function(publish, publisher, uploads))
            except Exception as error:  # noqa: BLE001 - the timekeeper publishes them
                log.warning("upload_not_published", reason=type(error).__name__)


AGAIN = "Upload the file again."


def unknown() -> NotFound:
    return NotFound("There is no such upload.", next_step="It may have expired: upload the file again.")


async def gathered(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield the body in chunks of at least `size` bytes, but for the last. Its own may be a few bytes each."""
    gathered = bytearray()
    async for chunk in body:
        gathered += chunk
        if len(gathered) >= size:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def check_length(length: int | None, most: int) -> None:
    """Raise PayloadTooLarge for a stated length over the limit."""
    if length is not None and length > most:
        raise PayloadTooLarge(f"The upload has {length} bytes; {most} are allowed.", next_step="Upload a smaller file.")
