"""A small real model: handwritten digits, trained here, exported to ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CARD = """\
---
license: mit
library_name: onnx
pipeline_tag: image-classification
tags: [digits, trees]
datasets: [sklearn-digits]
---
# Handwritten digits

{trees} extremely randomised trees on the 8x8 digits of the UCI set that scikit-learn ships. Input `X`: float32 (n, 64), pixels 0 to 16. Output: label.
Accuracy on {held_out} held-out images: {accuracy:.3f}.
"""


@dataclass(frozen=True)
class Trained:
    """A model in a folder, and what it answers.

    Attributes:
        folder: holds ``model.onnx`` and ``README.md``.
        accuracy: share of right answers on the held-out images.
        images: held-out images, float32 (n, 64).
        answers: what the seller's own copy says of them, int64 (n,).
    """

    folder: Path
    accuracy: float
    images: NDArray[np.float32]
    answers: NDArray[np.int64]


def train(folder: Path, *, trees: int) -> Trained:
    """Train on half of the digits, export to ONNX, and answer the other half with the exported model.

    Args:
        folder: where the model goes; made here.
        trees: how many extremely randomised trees.
    """
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    seen, held_out, seen_labels, true_labels = train_test_split(images, labels, test_size=0.5, random_state=7)
    model = ExtraTreesClassifier(trees, random_state=7)
    model.fit(seen, seen_labels)
    folder.mkdir(parents=True)
    onnx = to_onnx(model, held_out[:1], options={"zipmap": False})
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    answers = predict(folder, held_out)
    accuracy = float((answers == true_labels).mean())
    text = CARD.format(trees=trees, held_out=len(held_out), accuracy=accuracy)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return Trained(folder=folder, accuracy=accuracy, images=held_out, answers=answers)


def predict(folder: Path, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """Load ``model.onnx`` from a folder and return its labels, int64 (n,), for images, float32 (n, 64)."""
    import numpy as np
    from onnxruntime import InferenceSession

    session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    labels = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: images})[0]
    return np.asarray(labels, dtype=np.int64)
