"""Calls a gateway with NVIDIA's client of the Open Inference Protocol, unmodified: only a header is added.

Arguments: host and port, model, and headers as JSON lists: the first ones pay. Prints one JSON document.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException


def main() -> None:
    """Ask everything that the client can ask, and call with and without payment."""
    place, model, payments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    client = http.InferenceServerClient(place)
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(model, "1"),
        "answers": [],
    }
    for binary, payment in zip((True, False), payments, strict=True):
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        tensor = http.InferInput("X", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x, binary_data=binary)
        wanted = [
            http.InferRequestedOutput("Y", binary_data=binary),
            http.InferRequestedOutput("S", binary_data=binary),
        ]
        answer = client.infer(
            model, [tensor], outputs=wanted, headers={"Steelyard-Payment": payment}, request_id="7"
        )
        found["answers"].append(
            [answer.as_numpy("Y").tolist(), answer.as_numpy("S").tolist(), answer.get_response()["id"]]
        )
    try:
        client.infer(model, [tensor])
    except InferenceServerException as exc:
        found["refused"] = [exc.status(), exc.message()]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
