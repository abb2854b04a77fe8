"""Files of other packages that training, evaluation and `make accept` need, by name: `python -m processors.artifacts`.

`artifacts.toml` says where each comes from and its sha256. A file is downloaded once into the user's cache folder
(platformdirs: `~/.cache/sluice/artifacts` on Linux, XDG_CACHE_HOME is honoured); one that lies there already is taken.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import tarfile
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import structlog

from processors.weights import sha256_of
from schemas.errors import StartupError, Unreachable

log = structlog.get_logger()

TABLE = Path(__file__).with_name("artifacts.toml")

_CHUNK = 1 << 20
_TRIES = 3
_SILENCE_SECONDS = 30.0
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


@dataclass(frozen=True, slots=True)
class PackageFile:
    """`size` in bytes. `licence` is that of the file, which is never shipped."""

    url: str
    sha256: str
    size: int
    licence: str

    @property
    def filename(self) -> str:
        return unquote(self.url.rsplit("/", 1)[1])


@cache
def table() -> dict[str, PackageFile]:
    """Return every artifact by name."""
    return {name: PackageFile(**entry) for name, entry in tomllib.loads(TABLE.read_text()).items()}


def artifact(name: str, folder: Path | None = None) -> Path:
    """Return the file of this name from the cache `folder`, downloaded if it isn't there, always checked.

    Raises KeyError for a name that the table lacks, Unreachable if the download fails, StartupError for other bytes.
    """
    entry = table()[name]
    path = (folder or default_folder()) / entry.filename
    if not path.is_file():
        _download(entry, path)
    found = sha256_of(path)
    if found != entry.sha256:
        raise StartupError(
            f"{path} has the sha256 {found}, expected {entry.sha256}.",
            next_step="Delete it and try again; if that fails too, a proxy or mirror changes the file.",
        )
    return path


def unpacked(name: str, folder: Path | None = None) -> Path:
    """Return the folder with the files of a .deb, .whl, .zip or tar archive; unpacks it once. Raises as `artifact`."""
    archive = artifact(name, folder)
    target = archive.parent / "unpacked" / f"{name}-{table()[name].sha256[:16]}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix="new-"))
    try:
        _unpack(archive, partial)
        partial.chmod(0o755)
        partial.rename(target)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        # Another process may have been faster; a full folder can't be replaced.
        if not (isinstance(error, OSError) and target.is_dir()):
            raise
    return target


def default_folder() -> Path:
    """Return the user's cache folder for artifacts."""
    from platformdirs import user_cache_path

    return user_cache_path("sluice") / "artifacts"


def _download(entry: PackageFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for tries_left in reversed(range(_TRIES)):
        try:
            _download_once(entry, path)
            return
        except (OSError, HTTPException) as error:
            if tries_left == 0:
                raise Unreachable(
                    f"{entry.url} could not be downloaded: {error}.",
                    next_step=f"Check the network (HTTPS_PROXY is honoured), or put the file into {path.parent}.",
                ) from error


def _download_once(entry: PackageFile, path: Path) -> None:
    """Write under a temporary name and rename: a file in the cache is complete and checked after any crash."""
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            with urllib.request.urlopen(entry.url, timeout=_SILENCE_SECONDS) as answer:  # noqa: S310 - https, from the table
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
            file.flush()
            if digest.hexdigest() != entry.sha256:
                raise StartupError(
                    f"{entry.url} has the sha256 {digest.hexdigest()}, expected {entry.sha256}.",
                    next_step="A proxy or mirror may have changed it, so it was not kept. Try another network.",
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".deb":
        with _deb_data(archive) as data, tarfile.open(fileobj=data) as opened:
            # Packages link to absolute paths, which the stricter filter refuses.
            opened.extractall(target, filter="tar")
    elif archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as opened_zip:
            opened_zip.extractall(target)  # noqa: S202 - zipfile keeps members inside the target
    else:
        with tarfile.open(archive) as opened:
            opened.extractall(target, filter="data")


@contextmanager
def _deb_data(archive: Path) -> Iterator[BinaryIO]:
    """The tar of a Debian package's files. A .deb is an `ar` archive: headers of 60 bytes, each before its member,
    padded to an even length (deb(5))."""
    with archive.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise StartupError(f"{archive.name} is no Debian package: it does not begin as an ar archive.")
        while header := file.read(_AR_HEADER):
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
            if name == "data.tar.xz":
                with lzma.open(file) as data, tempfile.TemporaryFile() as tar:
                    shutil.copyfileobj(data, tar, _CHUNK)
                    tar.seek(0)
                    yield tar
                return
            file.seek(size + size % 2, 1)
    raise StartupError(f"{archive.name} has no member data.tar.xz.")


def main() -> None:
    """Download and check every artifact."""
    for name in table():
        log.info("artifact is there", name=name, path=str(artifact(name)))


if __name__ == "__main__":
    main()
