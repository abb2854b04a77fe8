"""Fetching the Java components once per user: from Maven Central, checked against the committed sums, kept in a cache.

Every file is written beside its place, checked and then renamed, so a file in the cache is whole whatever was killed.
The standard library's client is enough for a few plain files, and honours the usual proxy variables.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from schemas.errors import StartupError, Unreachable
from streams.stack.artifacts import Artifact
from streams.stack.events import EventKind, Reporter
from streams.stack.lock import exclusive

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
_AT_ONCE = 6
_TRIES = 3
_CHUNK = 256 * 1024
_SILENCE_SECONDS = 10.0
_REPORT_SECONDS = 0.2


class DownloadProgress:
    """Adds up bytes over threads and reports a few times a second, first and last always."""

    def __init__(self, component: str, total: int, report: Reporter) -> None:
        self._component = component
        self._total = total
        self._report = report
        self._done = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if time.monotonic() < self._next and self._done < self._total:
                return
            self._next = time.monotonic() + _REPORT_SECONDS
            done = self._done
        message = f"downloading {self._component}: {done / 1e6:.0f} of {self._total / 1e6:.0f} MB"
        self._report(EventKind.DOWNLOAD, self._component, message, done=done, total=self._total)


class Cache:
    """The folder with everything ever downloaded; shared by all projects of a user."""

    def __init__(self, folder: Path, repository: str = MAVEN_CENTRAL) -> None:
        self._folder = folder
        self._repository = repository.rstrip("/")

    def place(self, artifact: Artifact) -> Path:
        return self._folder / "maven" / artifact.path

    def folder_of(self, archive: Artifact) -> Path:
        """Where an archive is unpacked to; the name carries its sum."""
        return self._folder / "unpacked" / f"{Path(archive.path).name}-{archive.sha256[:16]}"

    def jars(
        self, component: str, artifacts: Sequence[Artifact], report: Reporter, check: Callable[[], None]
    ) -> tuple[Path, ...]:
        """Paths of the artifacts, downloaded where they are missing or altered."""
        places = tuple(self.place(artifact) for artifact in artifacts)
        wanted = list(zip(artifacts, places, strict=True))
        if any(not _sound(place, artifact) for artifact, place in wanted):
            with self._locked(component, report, check):
                missing = [(artifact, place) for artifact, place in wanted if not _sound(place, artifact)]
                self._fetch_all(component, missing, report, check)
        return places

    def unpacked(self, component: str, artifact: Artifact, report: Reporter, check: Callable[[], None]) -> Path:
        """The folder that a .tar.gz was unpacked to, downloaded where it is missing."""
        folder = self.folder_of(artifact)
        if not folder.is_dir():
            with self._locked(component, report, check):
                if not folder.is_dir():
                    self._unpack(component, artifact, folder, report, check)
        return folder

    def _unpack(
        self, component: str, artifact: Artifact, folder: Path, report: Reporter, check: Callable[[], None]
    ) -> None:
        archive = self.place(artifact)
        self._fetch_all(component, [(artifact, archive)], report, check)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix="new-"))
        try:
            with tarfile.open(archive) as opened:
                opened.extractall(fresh, filter="data")
            fresh.chmod(0o755)
            fresh.rename(folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        archive.unlink()

    def _locked(self, component: str, report: Reporter, check: Callable[[], None]) -> AbstractContextManager[None]:
        def waiting() -> None:
            report(EventKind.WAITING, component, "another command is downloading the same files; waiting for it")

        return exclusive(self._folder / f"{component}.lock", on_wait=waiting, check=check)

    def _fetch_all(
        self, component: str, wanted: Sequence[tuple[Artifact, Path]], report: Reporter, check: Callable[[], None]
    ) -> None:
        progress = DownloadProgress(component, sum(artifact.size for artifact, _ in wanted), report)
        progress.add(0)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done in [pool.submit(self._fetch, artifact, place, progress, check) for artifact, place in wanted]:
                done.result()

    def _fetch(self, artifact: Artifact, place: Path, progress: DownloadProgress, check: Callable[[], None]) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(_TRIES)):
            try:
                self._fetch_once(artifact, place, progress, check)
                return
            except (OSError, HTTPException) as error:
                if isinstance(error, HTTPError):
                    error.close()
                if left == 0:
                    raise Unreachable(
                        f"{self._repository}/{artifact.path} could not be downloaded: {error}.",
                        next_step="Check the network (HTTPS_PROXY is honoured) and run it again: what is there is kept.",
                    ) from error

    def _fetch_once(
        self, artifact: Artifact, place: Path, progress: DownloadProgress, check: Callable[[], None]
    ) -> None:
        digest, got = hashlib.sha256(), 0
        fresh = place.with_name(f"{place.name}.part")
        address = f"{self._repository}/{artifact.path}"
        try:
            with urllib.request.urlopen(address, timeout=_SILENCE_SECONDS) as answer, fresh.open("wb") as file:  # noqa: S310
                while chunk := answer.read(_CHUNK):
                    check()
                    file.write(chunk)
                    digest.update(chunk)
                    got += len(chunk)
                    progress.add(len(chunk))
            if got < artifact.size:
                raise ConnectionError(f"it broke off after {got} of {artifact.size} bytes")
            if digest.hexdigest() != artifact.sha256:
                raise _altered(address, digest.hexdigest(), artifact.sha256)
            fresh.replace(place)
        except BaseException:
            progress.add(-got)
            raise
        finally:
            fresh.unlink(missing_ok=True)


def _sound(place: Path, artifact: Artifact) -> bool:
    if not place.is_file() or place.stat().st_size != artifact.size:
        return False
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256


def _altered(address: str, found: str, expected: str) -> StartupError:
    return StartupError(
        f"{address} is not the file it should be: its sha256 is {found}, expected {expected}.",
        next_step="Something between here and the repository changes files; nothing of it was kept.",
    )
