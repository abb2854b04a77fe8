"""The files of one leased job, through a gateway: inputs down, outputs up, and its checkpoint. Memory stays flat.

A broken download goes on where it stopped; a broken upload begins again. Both are tried as long as the gateway may be
restarting; then the job is tried again later, as with any store that does not answer.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from connectors.claim_uris import content_key
from connectors.gateway_client.client import GatewayClient
from connectors.memos import MEMOS
from schemas.errors import ClaimMismatch, ConnectionFailed, InvalidInput, NotFound, StoreUnavailable, Unreachable
from schemas.records import Claim

T = TypeVar("T")

CHUNK = 1 << 20
#: Seconds without any progress after which a transfer is given up. A gateway restarts within them.
PATIENCE_S = 120.0
_PAUSES_S = (0.2, 1.0, 3.0, 5.0)


class GatewayFiles:
    """Implements `connectors.claim_store.JobFiles` for a job that this worker holds."""

    def __init__(
        self,
        client: GatewayClient,
        worker_id: str,
        job_id: str,
        run: int,
        *,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._params = {"worker_id": worker_id, "job_id": job_id, "run": str(run)}
        self._checkpoint = f"checkpoints/{job_id}/{run}"
        self._patience_s = patience_s
        self._sleep = sleep

    def put_file(self, path: Path, content_type: str = "application/octet-stream") -> Claim:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidInput(f"The file to store can't be read: {error.strerror or error}.") from error
        return self._put(lambda: _pieces(path), digest, content_type)

    def put_bytes(self, data: bytes, content_type: str = "application/octet-stream") -> Claim:
        return self._put(lambda: iter([data]), hashlib.sha256(data).hexdigest(), content_type)

    def fetch(self, claim: Claim, into: Path) -> Path:
        content_key(claim.sha256)  # validates it: it may become a file name
        target = into / claim.sha256 if into.is_dir() else into
        part = target.with_name(f".{target.name[:80]}.{uuid.uuid4().hex}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                self._download(claim, file)
            os.replace(part, target)
        except OSError as error:
            raise ConnectionFailed(f"The fetched file can't be written: {error.strerror or error}.") from error
        finally:
            part.unlink(missing_ok=True)
        return target

    def has(self, claim: Claim) -> bool:
        """True: the gateway gives a memo only if its files are stored, and a leased job asks for no others."""
        return True

    def put_named(self, name: str, data: bytes) -> None:
        path = self._own(name)
        self._patiently(lambda: self._client.call("PUT", path, params=self._params, content=data))

    def get_named(self, name: str) -> bytes | None:
        path = self._own(name)

        def get() -> bytes | None:
            try:
                with self._client.stream("GET", path, params=self._params) as response:
                    return bytes(response.read())
            except NotFound:
                return None

        return self._patiently(get)

    def delete_named(self, name: str) -> None:
        path = self._own(name)
        self._patiently(lambda: self._client.call("DELETE", path, params=self._params))

    # ── transfers ──

    def _put(self, pieces: Callable[[], Iterator[bytes]], sha256: str, content_type: str) -> Claim:
        def put() -> Any:
            more: Mapping[str, Any] = {"content": pieces(), "headers": {"Content-Type": content_type}}
            # The answer comes once the store has everything.
            return self._client.call("PUT", _path(sha256), wait_s=self._patience_s, params=self._params, **more)

        answer = self._patiently(put)
        try:
            return Claim(**answer)
        except TypeError as error:
            raise StoreUnavailable("The gateway's answer to an upload is not understood.") from error

    def _download(self, claim: Claim, file: Any) -> None:
        digest = hashlib.sha256()

        def go_on() -> None:
            at = file.tell()
            ranged = {"Range": f"bytes={at}-"} if at else {}
            with self._client.stream("GET", _path(claim.sha256), params=self._params, headers=ranged) as response:
                if at and response.status_code != 206:
                    raise StoreUnavailable("The gateway did not continue a broken download.")
                for chunk in response.iter_bytes(CHUNK):
                    if file.tell() + len(chunk) > claim.size:
                        raise _mismatch("more bytes than its claim says")
                    file.write(chunk)
                    digest.update(chunk)

        if claim.size:
            self._patiently(go_on, progress=file.tell)
        if file.tell() != claim.size:
            raise _mismatch(f"{file.tell()} bytes, its claim says {claim.size}")
        if digest.hexdigest() != claim.sha256:
            raise _mismatch("another sha256 than its claim says")

    def _patiently(self, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Return what `attempt` returns, calling again while it raises Unreachable and for as long as it progresses.

        Raises StoreUnavailable after PATIENCE_S without progress, and at once if the gateway refuses the job.
        """
        since, tries, reached = time.monotonic(), 0, progress()
        while True:
            try:
                return attempt()
            except NotFound as error:
                raise InvalidInput(error.message) from error
            except Unreachable as error:
                if progress() > reached:
                    since, tries, reached = time.monotonic(), 0, progress()
                if time.monotonic() - since >= self._patience_s:
                    raise StoreUnavailable(error.message, next_step=error.next_step) from error
                self._sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1

    def _own(self, name: str) -> str:
        """Return the path of a stored object: a job's own checkpoint, or a memo of its input, as the gateway knows that."""
        folder, _, rest = name.partition("/")
        if folder == MEMOS:
            return f"/memo/{rest.rpartition('/')[2]}"
        if name != self._checkpoint:
            raise InvalidInput("A leased job reaches no stored object but its own checkpoint and memos of its input.")
        return "/checkpoint"


def _path(sha256: str) -> str:
    return f"/objects/{quote(sha256, safe='')}"


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def _mismatch(found: str) -> ClaimMismatch:
    return ClaimMismatch(
        f"The stored object has {found}.",
        next_step="The file was changed after the claim was made; upload it again and submit with the new claim.",
    )
