"""The hospital's slice viewer in a real Chromium: `make tools` installs one if there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.examples import Environment, copied

pytestmark = pytest.mark.accept

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def test_the_viewer_in_a_browser(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser is not None, "There is no Chromium: run `make tools`."
    environment = Environment(tmp_path / "venv")
    example = copied("hospital", tmp_path)
    environment.install(example / "browser" / "requirements.txt")
    environment.python(example, "manage.py", "test", "browser", BROWSER=browser)
