"""Which core a process runs on: a server and the load on it side by side, or the scheduler's moves are measured with them."""

from __future__ import annotations

import os
from typing import Final

SERVER: Final = 0
"""Place of a server's core among those that there are."""
LOAD: Final = 1
"""Place of the load generator's."""


def pin(place: int) -> None:
    """Keep this process, and threads that it starts, on one core, where there are two."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[place]})
