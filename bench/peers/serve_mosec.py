"""`embed` behind mosec: a server in Rust, a process for the model. `python serve_mosec.py --port PORT`"""

from __future__ import annotations

from typing import Any

from mosec import Server, Worker
from serving_model import MAX_BATCH, MAX_WAIT_MS, DigitModel


class EmbedWorker(Worker):
    def __init__(self) -> None:
        super().__init__()
        self._model = DigitModel()

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"vector": vector} for vector in self._model.vectors([each["pixels"] for each in data])]


if __name__ == "__main__":
    server = Server()
    server.append_worker(EmbedWorker, num=1, max_batch_size=MAX_BATCH, max_wait_time=MAX_WAIT_MS, route="/embed")
    server.run()
