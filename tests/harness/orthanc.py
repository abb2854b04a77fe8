"""A real Orthanc with its DICOMweb and GDCM plugins, run without root from unpacked Debian packages; and `dciodvfy`."""

from __future__ import annotations

import email
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
from pydicom.dataset import FileDataset

from processors.artifacts import unpacked
from tests.harness.volumes import file_bytes
from tests.harness.waiting import wait_until

USER, PASSWORD = "lab", "geheim"
PROGRAMS = ("orthanc", "orthanc-dicomweb", "orthanc-gdcm", "dicom3tools")
LIBRARIES = (
    *("libdcmtk17", "libgdcm3.0", "libcivetweb1", "liblua5.3-0", "libpugixml1v5", "libjsoncpp25", "libjson-c5"),
    *("libwrap0", "libopenjp2-7", "libcharls2", "libicu72", "libboost-filesystem1.74.0", "libboost-iostreams1.74.0"),
    *("libboost-locale1.74.0", "libboost-regex1.74.0", "libboost-thread1.74.0"),
)


@dataclass(frozen=True, slots=True)
class Server:
    """`http`: lets its user in. Orthanc's own answers, without our client."""

    url: str
    http: httpx.Client

    def send(self, slices: Iterable[FileDataset]) -> str:
        """Store slices as a scanner does, one by one; return Orthanc's id of their series."""
        parents = {
            self.http.post("/instances", content=file_bytes(one)).raise_for_status().json()["ParentSeries"]
            for one in slices
        }
        (series,) = parents
        return str(series)

    def is_stable(self, series: str) -> bool:
        return bool(self.http.get(f"/series/{series}").raise_for_status().json()["IsStable"])

    def instances(self, modality: str) -> list[dict[str, Any]]:
        """Return what QIDO-RS says of the instances of a modality."""
        answer = self.http.get("/dicom-web/instances", params={"Modality": modality}).raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def retrieve(self, study: str, series: str, instance: str) -> bytes:
        """Return an instance's file by WADO-RS, as it was stored."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        path = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"
        answer = self.http.get(path, headers={"Accept": accept}).raise_for_status()
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        _, part = email.message_from_bytes(head + answer.content).walk()
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        return content


@contextmanager
def running_orthanc(folder: Path, *, stable_age_s: int = 1) -> Iterator[Server]:
    """Run an Orthanc on a free port that lets USER in; its files and its log are in `folder`. Raises Unreachable if its
    packages can't be downloaded."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(path) for path in _plugins()],
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "StableAge": stable_age_s,
        "SyncStorageArea": False,
        "DicomWeb": {"Enable": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    program = _file("orthanc", "usr/sbin/Orthanc")
    dictionary = _file("libdcmtk17", "usr/share/libdcmtk17/dicom.dic")
    url = f"http://127.0.0.1:{port}"
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, folder / "orthanc.json"],
            env=environment() | {"DCMDICTPATH": str(dictionary)},
            stdout=log,
            stderr=log,
        )
        try:
            with httpx.Client(base_url=url, auth=(USER, PASSWORD), timeout=30.0, trust_env=False) as http:
                wait_until(
                    lambda: process.poll() is not None or _answers(http),
                    lambda: (folder / "orthanc.log").read_text(),
                    60.0,
                )
                yield Server(url, http)
        finally:
            process.terminate()
            process.wait(30)


def dciodvfy(path: Path) -> list[str]:
    """Return the errors that dicom3tools' checker finds in a DICOM file."""
    checked = subprocess.run(
        [_file("dicom3tools", "usr/bin/dciodvfy"), path], env=environment(), capture_output=True, text=True, check=False
    )
    lines = (checked.stdout + checked.stderr).splitlines()
    assert lines, "dciodvfy said nothing, not even the kind of object"
    return [line for line in lines if line.startswith(("Error", "Abort"))]


def read(content: bytes) -> FileDataset:
    return pydicom.dcmread(BytesIO(content))


def environment() -> dict[str, str]:
    """Return the environment in which the programs find their libraries."""
    machine = f"{platform.machine()}-linux-gnu"
    folders = [unpacked(name) / part / machine for name in LIBRARIES for part in ("usr/lib", "lib")]
    return os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(str(each) for each in folders if each.is_dir())}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@cache
def _plugins() -> list[Path]:
    """The libraries themselves: the links that Debian puts beside Orthanc are absolute."""
    return [
        next((unpacked(name) / "usr/lib/orthanc").glob(f"{library}.so.*"))
        for name, library in (("orthanc-dicomweb", "libOrthancDicomWeb"), ("orthanc-gdcm", "libOrthancGdcm"))
    ]


def _file(package: str, path: str) -> Path:
    return unpacked(package) / path


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/system").is_success
    except httpx.TransportError:
        return False
