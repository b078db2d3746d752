"""Writes delivery.json, content.json and metering.json, which the Python and the Solidity tests share.

Run ``python tests/vectors/make.py`` after a change of the format; ``tests/unit/crypto/test_vectors.py`` fails
while the files are not what this prints. Every object of a list has the same keys, in alphabetical order, and
every value is a hex string, a number, a boolean or a name, so that Solidity reads a list as an array of
structs.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import content_cases
import delivery_cases
import metering_cases

HERE = Path(__file__).resolve().parent


def render() -> dict[str, str]:
    """Return file name -> text of every vector file."""
    files: dict[str, dict[str, Any]] = {
        "delivery.json": delivery_cases.build(),
        "content.json": content_cases.build(),
        "metering.json": metering_cases.build(),
    }
    return {name: json.dumps(value, indent=1, sort_keys=True) + "\n" for name, value in files.items()}


def main() -> None:
    """Write the files and print their digests."""
    for name, text in render().items():
        (HERE / name).write_text(text, encoding="utf-8")
        print(name, sha256(text.encode()).hexdigest())


if __name__ == "__main__":
    main()
