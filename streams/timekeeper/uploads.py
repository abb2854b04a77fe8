"""Publishes events of accepted uploads that are not confirmed, and deletes the pieces of uploads that have expired.

Publishing twice is safe: the event carries the same upload id.
"""

from __future__ import annotations

from schemas.avsc import self_contained
from schemas.codec import TypedCodec
from schemas.errors import JobError
from schemas.records import Upload
from streams import logs, wiring
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

BATCH = 500


class UnsentUploads:
    def __init__(self, context: DutyContext) -> None:
        self._context = context
        self._codec: TypedCodec[Upload] | None = None

    def run_once(self) -> bool:
        uploads = {each.upload_id: each for each in self._context.store.unsent_uploads(BATCH)}
        if uploads:
            topic, codec = self._context.settings.topics.uploads, self._opened()
            for upload_id, upload in uploads.items():
                self._context.publisher.put(upload_id, topic, upload_id.encode(), codec.encode(upload))
            errors = self._context.publisher.flush()
            for upload_id, error in errors.items():
                log.error("upload_not_published", upload_id=upload_id, code=error.name())
            self._context.store.mark_uploads_published([one for one in uploads if one not in errors])
            log.info("upload_published", count=len(uploads) - len(errors))
        return bool(uploads)

    def _opened(self) -> TypedCodec[Upload]:
        if self._codec is None:
            settings = self._context.settings
            subject = f"{settings.topics.uploads}-value"
            self._codec = self._context.writer.codec.typed(
                Upload, subject, self_contained("Upload"), register=settings.auto_register
            )
        return self._codec


class ExpiredUploads:
    """A part whose object can't be deleted now stays in the object store; `sluice objects collect` finds it."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        expired = self._context.store.expired_uploads(BATCH)
        if expired:
            objects = wiring.object_store(self._context.settings)
            try:
                for name in (name for _, names in expired for name in names):
                    objects.delete_named(name)
            except JobError as error:
                log.warning("upload_parts_left", code=error.code)
            log.info("uploads_expired", count=len(expired))
        return bool(expired)
