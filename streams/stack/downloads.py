"""Downloads the Java components from Maven Central, once per user, and checks them against the committed checksums.

Every file is written under a temporary name, checked and then renamed, so every file in the cache is complete after any crash.
The standard library's HTTP client is enough for a few files, and honours the usual proxy variables.
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
    """Adds up the bytes of all threads and reports them a few times a second, and at the end."""

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
    """The folder with all downloaded files; shared by all projects of a user."""

    def __init__(self, folder: Path, repository: str = MAVEN_CENTRAL) -> None:
        self._folder = folder
        self._repository = repository.rstrip("/")

    def path(self, artifact: Artifact) -> Path:
        return self._folder / "maven" / artifact.path

    def folder_of(self, archive: Artifact) -> Path:
        """Return the folder an archive is unpacked to; its name contains the checksum."""
        return self._folder / "unpacked" / f"{Path(archive.path).name}-{archive.sha256[:16]}"

    def jars(
        self, component: str, artifacts: Sequence[Artifact], report: Reporter, check: Callable[[], None]
    ) -> tuple[Path, ...]:
        """Return the paths of the artifacts; downloads those that are missing or altered."""
        paths = tuple(self.path(artifact) for artifact in artifacts)
        wanted = list(zip(artifacts, paths, strict=True))
        if any(not _intact(path, artifact) for artifact, path in wanted):
            with self._locked(component, report, check):
                missing = [(artifact, path) for artifact, path in wanted if not _intact(path, artifact)]
                self._fetch_all(component, missing, report, check)
        return paths

    def unpacked(self, component: str, artifact: Artifact, report: Reporter, check: Callable[[], None]) -> Path:
        """Return the folder a .tar.gz is unpacked to; downloads it if it is missing."""
        folder = self.folder_of(artifact)
        if not folder.is_dir():
            with self._locked(component, report, check):
                if not folder.is_dir():
                    self._unpack(component, artifact, folder, report, check)
        return folder

    def _unpack(
        self, component: str, artifact: Artifact, folder: Path, report: Reporter, check: Callable[[], None]
    ) -> None:
        archive = self.path(artifact)
        self._fetch_all(component, [(artifact, archive)], report, check)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="new-"))
        try:
            with tarfile.open(archive) as opened:
                opened.extractall(partial, filter="data")
            partial.chmod(0o755)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
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
            for done in [pool.submit(self._fetch, artifact, path, progress, check) for artifact, path in wanted]:
                done.result()

    def _fetch(self, artifact: Artifact, path: Path, progress: DownloadProgress, check: Callable[[], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(_TRIES)):
            try:
                self._fetch_once(artifact, path, progress, check)
                return
            except (OSError, HTTPException) as error:
                if isinstance(error, HTTPError):
                    error.close()
                if tries_left == 0:
                    raise Unreachable(
                        f"{self._repository}/{artifact.path} could not be downloaded: {error}.",
                        next_step="Check the network (HTTPS_PROXY is honoured) and try again; finished files are kept.",
                    ) from error

    def _fetch_once(
        self, artifact: Artifact, path: Path, progress: DownloadProgress, check: Callable[[], None]
    ) -> None:
        digest, got = hashlib.sha256(), 0
        partial = path.with_name(f"{path.name}.part")
        address = f"{self._repository}/{artifact.path}"
        try:
            with urllib.request.urlopen(address, timeout=_SILENCE_SECONDS) as answer, partial.open("wb") as file:  # noqa: S310
                while chunk := answer.read(_CHUNK):
                    check()
                    file.write(chunk)
                    digest.update(chunk)
                    got += len(chunk)
                    progress.add(len(chunk))
            if got < artifact.size:
                raise ConnectionError(f"the connection broke after {got} of {artifact.size} bytes")
            if digest.hexdigest() != artifact.sha256:
                raise _altered(address, digest.hexdigest(), artifact.sha256)
            partial.replace(path)
        except BaseException:
            progress.add(-got)
            raise
        finally:
            partial.unlink(missing_ok=True)


def _intact(path: Path, artifact: Artifact) -> bool:
    if not path.is_file() or path.stat().st_size != artifact.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256


def _altered(address: str, found: str, expected: str) -> StartupError:
    return StartupError(
        f"{address} has the sha256 {found}, expected {expected}.",
        next_step="A proxy or mirror may have changed it, so it was not kept. Try again on another network.",
    )
