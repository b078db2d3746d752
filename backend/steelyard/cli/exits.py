"""Exit codes. They are stable, and docs/cli.md lists them."""

from __future__ import annotations

import enum

from steelyard.errors import (
    InputError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    UnavailableError,
    VerificationError,
)


class Exit(enum.IntEnum):
    """What a process of ours ends with."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    FALSE = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130


_CODES = (
    (InputError, Exit.USAGE),
    (NotFoundError, Exit.NOT_FOUND),
    (RefusedError, Exit.REFUSED),
    (VerificationError, Exit.FALSE),
    (UnavailableError, Exit.UNAVAILABLE),
)


def exit_of(error: SteelyardError) -> Exit:
    """Return the exit code that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.UNEXPECTED)
