"""An Orthanc server over HTTP: find a series, wait until it is whole, fetch its files, store a DICOM SEG.

Series are found and fetched by Orthanc's REST API, which hands out each file as it was received, in whatever transfer syntax.
(WADO-RS converts unless it is asked for `transfer-syntax=*`, and Orthanc without its GDCM plugin answers 500 for JPEG 2000.)
The SEG is stored by STOW-RS. No message names a series, a patient or a URL's path.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx

from schemas.errors import (
    ConnectionFailed,
    InvalidInput,
    JobCancelled,
    NotFound,
    PayloadTooLarge,
    StartupError,
    StoreUnavailable,
)

#: Seconds to connect, and between two pieces of an answer.
TIMEOUT_S = 60.0
CONNECT_S = 10.0
#: Tries of one call while the server does not answer, and the seconds before the second; each later wait is twice as long.
TRIES = 4
FIRST_WAIT_S = 0.25
#: Seconds between two looks at a series that still grows, how long a job waits for it, and then until its next attempt.
QUIET_POLL_S = 1.0
QUIET_WAIT_S = 300.0
QUIET_RETRY_S = 30.0
MAX_FILES = 2048
MAX_BYTES = 1 << 30
_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_UID = re.compile(r"[0-9.]{1,64}")
#: Answers of a server, or of a proxy before it, that is not there for the moment.
_AWAY: Final = (429, 502, 503, 504)
#: FailedSOPSequence in the answer to STOW-RS.
_FAILED_SOPS = "00081198"


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series in Orthanc. `orthanc_id`, `instances`: Orthanc's own ids. `stable`: no file came for Orthanc's StableAge."""

    orthanc_id: str
    instances: tuple[str, ...]
    stable: bool


class Orthanc:
    """A client for one job after another. `url`: Orthanc's root. Without `user` no credentials are sent.

    Every call raises StoreUnavailable while the server does not answer: the job is retried, and uses up no attempt; and
    ConnectionFailed if it refuses the login or answers what no Orthanc does. Raises StartupError for an address that can't
    be used.
    """

    def __init__(self, url: str, user: str = "", password: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        parts = _checked(url)
        user, password = user or unquote(parts.username or ""), password or unquote(parts.password or "")
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        #: For messages: without credentials and path.
        self.origin = f"{parts.scheme}://{host}{port}"
        self._http = httpx.Client(
            base_url=f"{self.origin}{parts.path.rstrip('/')}",
            auth=httpx.BasicAuth(user, password) if user else None,
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            follow_redirects=False,
        )

    def close(self) -> None:
        self._http.close()

    def check(self) -> None:
        """Ask who answers. Raises as every call does."""
        self._json("GET", "/system")

    def find_series(self, series_id: str) -> FoundSeries:
        """Find a series by Orthanc's id or by its SeriesInstanceUID. Raises NotFound, InvalidInput."""
        orthanc_id = series_id if _ORTHANC_ID.fullmatch(series_id) else self._lookup(series_id, "Series")
        found = self._json("GET", f"/series/{orthanc_id}") if orthanc_id else None
        if found is None:
            raise NotFound(
                f"The series is not in the Orthanc at {self.origin}.",
                next_step="Check the series id, and that the series has been sent there.",
            )
        try:
            instances = tuple(str(each) for each in found["Instances"])
            return FoundSeries(str(found["ID"]), instances, bool(found["IsStable"]))
        except (KeyError, TypeError) as error:
            raise self._no_orthanc("its answer lacks a series' fields") from error

    def wait_until_stable(self, series_id: str, cancelled: Callable[[], bool]) -> FoundSeries:
        """Return the series once no file has come for Orthanc's StableAge.

        Raises StoreUnavailable, to be retried, if it still grows after QUIET_WAIT_S; JobCancelled; and as `find_series` does.
        """
        until = time.monotonic() + QUIET_WAIT_S
        while not (found := self.find_series(series_id)).stable:
            if cancelled():
                raise JobCancelled("Stopped while the series was still arriving.")
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"The series still grows: {len(found.instances)} files so far. It is tried again later.",
                    retry_after_s=QUIET_RETRY_S,
                )
            time.sleep(QUIET_POLL_S)
        return found

    def fetch(self, series: FoundSeries, folder: Path) -> Iterator[Path]:
        """Fetch the files of a series into `folder`, one at a time, as they were received. Raises PayloadTooLarge."""
        if len(series.instances) > MAX_FILES:
            raise PayloadTooLarge(f"The series has {len(series.instances)} files: at most {MAX_FILES} are read.")
        left = MAX_BYTES
        for number, instance in enumerate(series.instances):
            path = folder / f"{number:04d}.dcm"
            left -= self._fetch_file(f"/instances/{instance}/file", path, left)
            yield path

    def find_instance(self, sop_instance_uid: str) -> str | None:
        """Return Orthanc's id of an instance; None if it has none of this UID."""
        return self._lookup(sop_instance_uid, "Instance")

    def store(self, path: Path, sop_instance_uid: str) -> str:
        """Store a DICOM file by STOW-RS unless Orthanc has its UID already; return Orthanc's id of the instance."""
        if (known := self.find_instance(sop_instance_uid)) is not None:
            return known
        boundary = uuid.uuid4().hex
        part = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        content = part + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        answer = self._json("POST", "/dicom-web/studies", content=content, headers=headers)
        if answer is None:
            raise self._no_orthanc("it has no DICOMweb at /dicom-web; its DICOMweb plugin is needed")
        # An empty sequence is there all the same, without a `Value`.
        if not isinstance(answer, dict) or (answer.get(_FAILED_SOPS) or {}).get("Value"):
            raise ConnectionFailed(f"The Orthanc at {self.origin} did not store the DICOM SEG.")
        stored = self.find_instance(sop_instance_uid)
        if stored is None:
            raise ConnectionFailed(f"The Orthanc at {self.origin} took the DICOM SEG and does not have it.")
        return stored

    def _lookup(self, uid: str, level: str) -> str | None:
        if not _UID.fullmatch(uid):
            raise InvalidInput(
                "The series id is neither Orthanc's id of a series nor a SeriesInstanceUID.",
                next_step="Orthanc's ids have five groups of eight hexadecimal digits; UIDs have digits and dots.",
            )
        found = self._json("POST", "/tools/lookup", content=uid.encode()) or []
        try:
            ids = [str(each["ID"]) for each in found if each["Type"] == level]
        except (KeyError, TypeError) as error:
            raise self._no_orthanc("its answer lacks a lookup's fields") from error
        return ids[0] if ids else None

    def _json(self, method: str, path: str, **more: Any) -> Any:
        """Return the decoded answer; None for 404."""

        def call() -> httpx.Response:
            return self._http.request(method, path, **more)

        response = self._tried(call)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        self._refuse(response)
        try:
            return response.json()
        except ValueError as error:
            raise self._no_orthanc("its answer is not JSON") from error

    def _fetch_file(self, url: str, path: Path, left: int) -> int:
        """Write an answer's body into a file; return its size in bytes."""

        def call() -> httpx.Response:
            size = 0
            with self._http.stream("GET", url) as response, path.open("wb") as target:
                if not response.is_success:
                    return response
                for piece in response.iter_bytes():
                    size += len(piece)
                    if size > left:
                        raise PayloadTooLarge(f"The files of the series are larger than {MAX_BYTES >> 20} MiB.")
                    target.write(piece)
            return response

        self._refuse(self._tried(call))
        return path.stat().st_size

    def _tried(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        """Make a call that may be repeated; again after a moment while the server is away. Raises StoreUnavailable."""
        for number in range(TRIES):
            try:
                response = call()
                if response.status_code not in _AWAY:
                    return response
                reason, cause = f"answered {response.status_code}", None
            except httpx.HTTPError as error:
                reason, cause = f"did not answer ({type(error).__name__})", error
            if number < TRIES - 1:
                time.sleep(FIRST_WAIT_S * 2**number)
        raise StoreUnavailable(
            f"The Orthanc at {self.origin} {reason}.",
            next_step="Check ORTHANC_URL and that the server runs; the job is tried again until its deadline.",
        ) from cause

    def _refuse(self, response: httpx.Response) -> None:
        """Raise the error of an answer that is none."""
        status = response.status_code
        if status in (401, 403):
            raise LoginRefused(
                f"The Orthanc at {self.origin} refuses the login ({status}).",
                next_step="Set ORTHANC_USER and ORTHANC_PASSWORD to a user of its RegisteredUsers.",
            )
        if status == httpx.codes.NOT_FOUND:
            raise ConnectionFailed(f"A file of the series is no longer in the Orthanc at {self.origin}.")
        if status >= 500:
            raise ConnectionFailed(f"The Orthanc at {self.origin} failed ({status}); its log says why.")
        if not response.is_success:
            raise self._no_orthanc(f"it answered {status}")

    def _no_orthanc(self, reason: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"What answers at {self.origin} does not speak as an Orthanc: {reason}.", next_step="Check ORTHANC_URL."
        )


class LoginRefused(ConnectionFailed):
    """The server does not accept ORTHANC_USER and ORTHANC_PASSWORD."""


def _checked(url: str) -> Any:
    """Return an address's parts. Raises StartupError, which never repeats it: it may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable:
        raise StartupError(
            "ORTHANC_URL is no address of a server.", next_step="Set it to a URL like http://orthanc.example.org:8042."
        )
    return parts
