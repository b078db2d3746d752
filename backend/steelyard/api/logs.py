"""What the processes of the service tell: lines on standard error, for people or as JSON, as the seller's service does."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Final

_QUIET: Final = ("uvicorn", "asyncio")


class Lines(logging.Handler):
    """Writes a record as one line; a traceback is part of it, with its line ends escaped."""

    def __init__(self, *, as_json: bool) -> None:
        """Remember the form."""
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        """Write."""
        why = record.getMessage()
        trace = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""
        if self._as_json:
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
            parts = {"time": when, "event": getattr(record, "event", "log"), "why": why}
            if trace:
                parts["trace"] = trace
            line = json.dumps(parts)
        else:
            event = getattr(record, "event", "log")
            line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}  {event:10}  {why}"
            line += f"  {trace!r}" if trace else ""
        # One write for a line, so that those of several processes do not mix.
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def configure(*, as_json: bool, quiet: bool) -> None:
    """Have the package's loggers write to standard error; others only what is critical."""
    handler = Lines(as_json=as_json)
    ours = logging.getLogger("steelyard")
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(logging.ERROR if quiet else logging.INFO)
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        # uvicorn tells with a traceback of what our dispatcher has told already.
        logger.setLevel(logging.CRITICAL)


def tell(event: str, why: str) -> None:
    """Tell of something, as the seller's service does."""
    logging.getLogger("steelyard").info("%s", why, extra={"event": event})
