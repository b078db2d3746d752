"""Files that loaders read because of their names, whatever is in them."""

from __future__ import annotations

from typing import Final

_READ: Final[dict[str, tuple[str, ...]]] = {
    "saved_model.pb": ("tf-savedmodel",),
    "saved_model.pbtxt": (),
    "saved_model.cpb": (),
    "keras_metadata.pb": ("keras-metadata",),
    "mlmodel": ("mlmodel",),
    ".keras": ("keras", "keras-hdf5"),
    ".zip": ("zip", "npz", "skops", "keras", "pytorch", "torchscript", "pytorch-export"),
    ".skops": ("skops",),
    ".jinja": ("jinja",),
    ".yaml": ("yaml",),
    ".yml": ("yaml",),
    ".rds": (),
    ".rda": (),
    ".rdata": (),
    ".nemo": (),
    ".mar": (),
    ".pt2": (),
}
_LOADED: Final = frozenset(
    ("config.json", "tokenizer_config.json", "chat_template.json", "model.json", "model.weights.npz")
)
_MODELS: Final = (
    ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".keras", ".h5", ".hdf5", ".pb", ".meta", ".tflite",
)  # fmt: skip
_PERHAPS: Final = (
    ".npz",
    ".npy",
    ".bin",
    ".gguf",
    ".json",
    ".tar",
    ".tgz",
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
    ".lz4",
)


def base(name: str) -> str:
    """Return the last part of a path in small letters, since some file systems find a file whatever the case."""
    return name.rsplit("/", 1)[-1].lower()


def expected(name: str) -> tuple[str, ...] | None:
    """Return the formats, of those that are known here, of a file that is read because of its name; None if it is not."""
    last = base(name)
    return _READ.get(last, _READ.get(last[last.rfind(".") :]))


def is_loaded(name: str) -> bool:
    """Whether loaders of models look for a file of this name, or one that ends so holds a model that may run code."""
    last = base(name)
    return last in _LOADED or last.endswith(_MODELS) or expected(last) not in (None, ("yaml",))


def rank(name: str) -> int:
    """Return 0 for files that :func:`is_loaded` tells of, 1 for those that may hold a model too, 2 for all others."""
    return 0 if is_loaded(name) else 1 if base(name).endswith(_PERHAPS) or expected(name) is not None else 2
