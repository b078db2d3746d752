"""What the seller's service tells while it runs, and counts."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that the service did or met. Holds ids and reasons, never a key, a proof or a balance.

    Attributes:
        kind: ``started``, ``moved-back``, ``serving``, ``waiting``, ``sent``, ``delivered``, ``answered``,
            ``settled``, ``held-back``, ``reverted``, ``fault``, ``stopped``.
        id: version, purchase or request, or empty.
        block: number of the newest block, or -1.
        tx: transaction hash, or empty.
        why: reason in few words.
    """

    kind: str
    id: bytes = b""
    block: int = -1
    tx: bytes = b""
    why: str = ""

    def line(self, *, at: float) -> str:
        """Return one line of JSON for a log; ``at`` in Unix seconds."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        parts: dict[str, object] = {"time": when, "event": self.kind}
        if self.id:
            parts["id"] = "0x" + self.id.hex()
        if self.block >= 0:
            parts["block"] = self.block
        if self.tx:
            parts["tx"] = "0x" + self.tx.hex()
        if self.why:
            parts["why"] = self.why[:300]
        return json.dumps(parts)


@dataclass(kw_only=True)
class Served:
    """What one run found mined: deliveries, answered key requests, settlements, and what reverted."""

    delivered: int = 0
    answered: int = 0
    settled: int = 0
    reverted: int = 0
