"""The number of an inference in an address: ai_req_0001."""

from __future__ import annotations


class AiReqId:
    regex = r"ai_req_[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value.removeprefix("ai_req_"))

    def to_url(self, value: int) -> str:
        return f"ai_req_{value:04}"
