"""`embed` behind LitServe: FastAPI, a process for the model. `python serve_litserve.py --port PORT`"""

from __future__ import annotations

import sys
from typing import Any

import litserve
from serving_model import MAX_BATCH, MAX_WAIT_MS, DigitModel


class EmbedAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._model = DigitModel()

    def decode_request(self, request):  # LitServe passes an annotation on to FastAPI, which then wants a query
        return request["pixels"]

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        return inputs

    def predict(self, x: list[list[float]]) -> list[list[float]]:
        return self._model.vectors(x)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        return {"vector": output}


if __name__ == "__main__":
    api = EmbedAPI(max_batch_size=MAX_BATCH, batch_timeout=MAX_WAIT_MS / 1000, api_path="/embed")
    server = litserve.LitServer(api, accelerator="auto", devices=1, workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[-1]), generate_client_file=False, log_level="warning")
