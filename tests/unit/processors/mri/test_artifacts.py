"""Files of other packages: checked against the table, unpacked once."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from processors import artifacts
from processors.artifacts import PackageFile, artifact, unpacked
from schemas.errors import StartupError, Unreachable


def deb_of(files: dict[str, bytes]) -> bytes:
    """A Debian package, written by hand as deb(5) has it: an odd member before the data, a link to an absolute path."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/share/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/elsewhere"
        opened.addfile(link)
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(tar.getvalue())}
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts += [f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode(), content]
        parts += [b"\n"] * (len(content) % 2)
    return b"".join(parts)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that holds a small Debian package called `heads`."""
    content = deb_of({"usr/share/heads/one.txt": b"a head"})
    entry = PackageFile(
        (tmp_path / "none").as_uri() + "/heads_1%2b2.deb", hashlib.sha256(content).hexdigest(), 1, "MIT"
    )
    monkeypatch.setattr(artifacts, "table", lambda: {"heads": entry})
    (tmp_path / "heads_1+2.deb").write_bytes(content)
    return tmp_path


def test_a_file_in_the_cache_is_taken_without_a_download(package: Path) -> None:
    assert artifact("heads", package) == package / "heads_1+2.deb"


def test_a_file_with_another_sha256_is_refused(package: Path) -> None:
    (package / "heads_1+2.deb").write_bytes(b"something else")
    with pytest.raises(StartupError, match="sha256"):
        artifact("heads", package)


def test_a_download_with_another_sha256_is_not_kept(package: Path) -> None:
    (package / "heads_1+2.deb").unlink()
    (package / "none").mkdir()
    (package / "none" / "heads_1%2b2.deb").write_bytes(b"changed by a mirror")
    (package / "none" / "heads_1+2.deb").write_bytes(b"changed by a mirror")
    with pytest.raises(StartupError, match="expected"):
        artifact("heads", package)
    assert [path.name for path in package.iterdir()] == ["none"]


def test_a_failed_download_says_where_the_file_could_be_put(package: Path) -> None:
    (package / "heads_1+2.deb").unlink()
    with pytest.raises(Unreachable) as raised:
        artifact("heads", package)
    assert str(package) in str(raised.value.next_step)


def test_a_debian_package_is_unpacked_once(package: Path) -> None:
    folder = unpacked("heads", package)
    assert (folder / "usr/share/heads/one.txt").read_bytes() == b"a head"
    assert (folder / "usr/share/link").is_symlink()
    assert unpacked("heads", package) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_table_has_whole_entries() -> None:
    for entry in artifacts.table().values():
        assert entry.url.startswith("https://")
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.size > 0
