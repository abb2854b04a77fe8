"""A server with the S3 protocol on this machine: S3Proxy, on the Java runtime of the local stack. It checks signatures."""

from __future__ import annotations

import json
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import SecretStr

from streams.stack.artifacts import Artifact
from streams.stack.downloads import Cache
from streams.stack.events import Reporter
from streams.stack.java import environment, java
from tests.harness.waiting import wait_until

BUCKET = "bucket"
IDENTITY, CREDENTIAL = "local-identity", "local-credential"


class S3Server:
    """A running server with an empty bucket. `folder`: where the bucket's objects lie as files."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.url = f"s3://{BUCKET}/objects"
        self.options = {
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": IDENTITY,
            "secret_access_key": CREDENTIAL,
        }
        self.folder = folder

    @property
    def settings(self) -> dict[str, object]:
        """The settings of an installation that uses it, by field name."""
        return {"objects_url": self.url, "objects_options": SecretStr(json.dumps(self.options))}

    def stored(self) -> list[str]:
        """Return the keys of all objects below the prefix."""
        root = self.folder / BUCKET / "objects"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@contextmanager
def s3_server(home: Path) -> Iterator[S3Server]:
    folder, config = home / "s3", home / "s3proxy.conf"
    (folder / BUCKET).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    lines = [
        f"s3proxy.endpoint={endpoint}",
        "s3proxy.authorization=aws-v2-or-v4",
        f"s3proxy.identity={IDENTITY}",
        f"s3proxy.credential={CREDENTIAL}",
        "jclouds.provider=filesystem-nio2",
        f"jclouds.filesystem.basedir={folder}",
    ]
    config.write_text("\n".join(lines))
    command = [
        *java(heap="256m", scratch=home),
        "-cp",
        _class_path(),
        "org.gaul.s3proxy.Main",
        "--properties",
        str(config),
    ]
    with (home / "s3proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _answers(port), lambda: (home / "s3proxy.log").read_text())
        yield S3Server(endpoint, folder)
    finally:
        process.kill()
        process.wait()


def _class_path() -> str:
    entries = tomllib.loads(Path(__file__).with_name("s3proxy.toml").read_text())["s3proxy"]
    artifacts = [Artifact(**entry) for entry in entries]

    jars = Cache(user_cache_path("sluice")).jars("s3proxy", artifacts, Reporter(None), lambda: None)
    return ":".join(map(str, jars))


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
