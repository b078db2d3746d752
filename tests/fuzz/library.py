"""What a library is for `make fuzz-loaders`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from steelyard.formats import keras_config

LAMBDA: Final = json.dumps({"class_name": "Lambda", "config": {}})
HONEST: Final = json.dumps({"class_name": "Dense", "config": {}})
CODE: Final = "code"


@dataclass(frozen=True)
class Loader:
    """A library: the name that it knows a file by, what is mutated, where, and what it would do with a file, if it reads it at all.

    ``finds`` returns CODE for what would run, and the names of other files that would be read.
    """

    name: Callable[[random.Random], str]
    make: Callable[[random.Random, str], bytes]
    marks: tuple[bytes, ...]
    finds: Callable[[str, bytes], set[str]]


def is_code(text: str | bytes) -> bool:
    """Whether a library would parse a configuration, and find in it what runs."""
    try:
        return keras_config.code_of(json.loads(text)) is not None
    except (ValueError, RecursionError):
        return False
