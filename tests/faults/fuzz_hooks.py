"""What schemathesis must know of our media types; read by it, in its own environment."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

BYTES = ("application/vnd.ipld.raw", "application/octet-stream")
LINES = ("text/csv", "application/jsonl")


def raw(context: Any, value: Any) -> bytes:
    """Send bytes as they are, and anything else as its text."""
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


def text(context: Any, response: Any) -> str:
    """Take a body that is no JSON for the text that its schema says it is."""
    return str(response.content.decode("utf-8", "replace"))


# Imported by its name: the environment in which types are checked does not have it.
schemathesis = import_module("schemathesis")
schemathesis.serializer(*BYTES)(raw)
schemathesis.deserializer(*BYTES, *LINES)(text)
