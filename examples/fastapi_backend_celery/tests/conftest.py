"""The backend on a port of its own. The same file before, during and after the move to sluice.

Where there is a Celery app, a worker runs in a thread, with Celery's broker in memory in place of Redis. Where the backend uses
sluice, SLUICE_GATEWAY_URL and SLUICE_CALLBACK_SECRETS name a running one.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

import httpx
import pytest
import uvicorn

FOLDER = tempfile.mkdtemp()
SOCKET = socket.create_server(("127.0.0.1", 0))
URL = f"http://127.0.0.1:{SOCKET.getsockname()[1]}"
os.environ["BACKEND_DATABASE_URL"] = f"sqlite:///{FOLDER}/inferences.db"
os.environ["UPLOADS"] = f"{FOLDER}/uploads"
os.environ["CELERY_BROKER_URL"] = "memory://"
os.environ["CELERY_RESULT_BACKEND"] = "cache+memory://"
os.environ["CALLBACK_URL"] = f"{URL}/callbacks/sluice"


@contextmanager
def celery_worker() -> Iterator[None]:
    from celery.contrib.testing.worker import start_worker

    from tasks import celery

    celery.conf.broker_transport_options = {"polling_interval": 0.02}
    with start_worker(celery, perform_ping_check=False, pool="solo"):
        yield


@pytest.fixture(scope="session")
def backend() -> Iterator[httpx.Client]:
    with celery_worker() if find_spec("tasks") else nullcontext():
        server = uvicorn.Server(uvicorn.Config("main:app", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [SOCKET]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the backend did not start"
            time.sleep(0.02)
        with httpx.Client(base_url=URL, trust_env=False) as client:
            yield client
        server.should_exit = True
        thread.join()
