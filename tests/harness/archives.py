"""Makes zip archives for tests."""

from __future__ import annotations

import io
import zipfile


def zipped(*names: str, data: bytes = b"slice", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the constructor would cut and replace
            info.compress_type = method
            archive.writestr(info, data)
    return made.getvalue()
