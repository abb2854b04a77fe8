"""Makes uploads for tests of stores."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.upload_store import TUS, PartialUpload
from schemas.ids import new_id
from schemas.records import Claim, Upload


def upload(digit: str = "a", **more: Any) -> Upload:
    claim = Claim(f"file:///s/sha256/{digit * 2}/{digit * 64}", digit * 64, 5, "image/png")
    made: dict[str, Any] = {"upload_id": new_id(), "claim": claim, "created_at": datetime.now(UTC), "source": "test"}
    return Upload(**made | more)


def partial(**more: Any) -> PartialUpload:
    made: dict[str, Any] = {"upload_id": new_id(), "tenant": "t", "protocol": TUS, "length": 10, "sha256": None}
    return PartialUpload(**made | {"content_type": "image/png", "filename": "a.png", "metadata": "x y"} | more)
