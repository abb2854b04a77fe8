"""The next step for people who see a failed inference, by the code of its error."""

from __future__ import annotations

_STEPS = {
    "INVALID_INPUT": "Correct the file and start a new inference.",
    "CLAIM_MISMATCH": "The file was changed or is gone: upload it again.",
    "PAYLOAD_TOO_LARGE": "Send a smaller file, or ask the operator for a higher limit.",
    "TIMEOUT_ERROR": "It took too long. Start it again; if it happens again, give the request's id to the operator.",
    "DEADLINE_EXCEEDED": "It waited too long for a worker. Start it again later.",
    "CANCELLED": "It was cancelled. Start a new inference if you still need it.",
    "OUT_OF_MEMORY": "The volume needs more memory than the device has. Give the request's id to the operator.",
    "DEVICE_FAULT": "The device failed. Start it again; another machine takes it.",
    "WORKER_LOST": "The machine that ran it was lost. Start it again; another one takes it.",
}


def next_step(code: str) -> str:
    return _STEPS.get(code, "Give the request's id to the operator: `sluice explain` shows what happened to its job.")
