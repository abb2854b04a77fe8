"""The viewer in a real browser: slider, keys, view, opacity and the largest lesion, with no error on the console."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from unittest import mock

from django.test import LiveServerTestCase, override_settings
from playwright.sync_api import Page, sync_playwright
from tests.kit import SHAPE, completed, lesions, nifti, png, volume_inference

from ai.models import Patient


class ViewerTest(LiveServerTestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.enterContext(override_settings(MEDIA_ROOT=folder, INFERENCE_URL="http://127.0.0.1:9"))
        row = volume_inference(Patient.objects.create(patient_id="P-0001", name="김하늘"))
        body = completed(row.ai_req_id, {"mask.nii.gz": nifti(lesions()), "overlay.png": png()})
        headers = {"webhook-id": "msg_1"}
        stored = self.client.post("/api/ai/callback/", body, content_type="application/json", headers=headers)
        assert stored.status_code == 204
        self.address = f"{self.live_server_url}/inferences/{row.ai_req_id}/"
        # Playwright runs an event loop in this thread, and Django's cleaning up would refuse to work beside it.
        self.enterContext(mock.patch.dict(os.environ, {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}))
        browser = self.enterContext(sync_playwright()).chromium.launch(
            executable_path=os.environ["BROWSER"], args=["--no-sandbox", "--disable-gpu"]
        )
        self.addCleanup(browser.close)
        self.page = browser.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(self.address)
        _drawn(self.page)

    def pixels(self) -> list[int]:
        """Return the red values of the volume's picture, as the browser drew it."""
        return list(self.page.evaluate(_PIXELS))

    def slice_shown(self) -> int:
        return int(self.page.input_value(".slice"))

    def test_the_slider_changes_the_picture(self) -> None:
        before, text = self.pixels(), self.page.inner_text(".where")
        assert f"of {SHAPE[0]}" in text
        _slide(self.page, ".slice", 3)
        assert self.pixels() != before
        assert self.page.inner_text(".where") != text
        assert self.slice_shown() == 3
        assert self.problems == []

    def test_keys_views_opacity_and_the_largest_lesion(self) -> None:
        largest = self.slice_shown()
        self.page.focus(".stage")
        for key in ("ArrowUp", "ArrowRight", "ArrowUp", "ArrowDown", "PageDown"):
            self.page.keyboard.press(key)
        assert self.slice_shown() == max(0, largest + 2 - 10)
        self.page.click(".largest")
        assert self.slice_shown() == largest
        self.page.check("input[value=sagittal]")
        assert f"of {SHAPE[1]}" in self.page.inner_text(".where")
        _slide(self.page, ".opacity", 20)
        assert self.page.evaluate("document.querySelector('img.mask').style.opacity") == "0.2"
        assert self.problems == []


def _slide(page: Page, slider: str, value: int) -> None:
    """Move a slider as a hand does, and wait for the pictures."""
    page.locator(slider).evaluate("(each, to) => { each.value = to; each.dispatchEvent(new Event('input')) }", value)
    _drawn(page)


def _drawn(page: Page) -> None:
    """Wait until both pictures are there. (Playwright's own wait needs `eval`, which the pages forbid.)"""
    give_up = time.monotonic() + 20
    while not page.evaluate(_DRAWN):
        assert time.monotonic() < give_up, "the pictures do not come"
        page.wait_for_timeout(20)


_DRAWN = "[...document.querySelectorAll('.picture img')].every((each) => each.complete && each.naturalWidth)"
_PIXELS = """() => {
  const image = document.querySelector("img.volume");
  const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [...context.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, place) => place % 4 === 0);
}"""
