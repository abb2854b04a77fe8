"""Callbacks in Django views, with the real Django in an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.callbacks.sign import Signer

pytestmark = pytest.mark.accept

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or ROOT / ".tools/uv/bin/uv"  # the Makefile installs it there
SECRET = "d2Vi" * 8
BODY = json.dumps({"type": "job.completed", "data": {"job_id": "j1"}})


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with Django and the client."""
    environment = tmp_path_factory.mktemp("django") / "env"
    for argv in (
        [sys.executable, "-m", "venv", "--without-pip", environment],
        [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            environment / "bin/python",
            "django>=5.2,<6",
            ROOT / "clients/python",
        ],
    ):
        subprocess.run([str(each) for each in argv], check=True)
    return environment / "bin/python"


def test_views_get_verified_callbacks_only_and_need_no_csrf_token(python: Path) -> None:
    headers = Signer([SECRET]).headers("msg_1", int(time.time()), BODY.encode())
    good = {"url": "/plain/here/", "method": "post", "headers": headers, "body": BODY}
    requests: list[dict[str, Any]] = [
        good,
        {**good, "url": "/async/there/"},
        {**good, "body": BODY + " "},
        {**good, "url": "/async/there/", "headers": {}},
        {**good, "method": "put"},
    ]
    done = subprocess.run(
        [str(python), str(Path(__file__).parent / "django-backend/backend.py")],
        input="\n".join(json.dumps(request) for request in requests),
        env={"SLUICE_CALLBACK_SECRETS": SECRET},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["statuses"] == [204, 200, 401, 401, 405]
    assert report["seen"] == [["here", "msg_1", {"job_id": "j1"}], ["there", "msg_1", {"job_id": "j1"}]]
