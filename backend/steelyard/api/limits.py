"""How much one caller may ask for: buckets of requests or bytes by caller, in a table that cannot grow without end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address


class Buckets:
    """A bucket for each caller: full at first, refilled steadily. The caller that was quiet for longest is forgotten.

    A forgotten caller gets a full bucket, so who can send from more addresses than the table holds is not held by it; what
    holds him are the limits on connections and on requests that wait.
    """

    def __init__(self, *, per_minute: int, burst: int, size: int) -> None:
        """Remember rate and depth, of requests or bytes, and how many callers there may be; no limit if the rate is 0."""
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._size = size
        self._table: OrderedDict[object, list[float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many callers are remembered."""
        return len(self._table)

    def take(self, caller: object, now: float, amount: float = 1.0) -> float:
        """Take a request, or so many bytes, out of the caller's bucket.

        Args:
            caller: who asks.
            now: seconds of a clock that only goes forward.
            amount: how much; of more than the bucket holds, all that it holds.

        Returns:
            0, or the seconds until there is as much again; then nothing was taken.
        """
        if not self._rate:
            return 0.0
        amount = min(amount, self._burst)
        table = self._table
        found = table.get(caller)
        if found is None:
            if len(table) >= self._size:
                table.popitem(last=False)
            table[caller] = [self._burst - amount, now]
            return 0.0
        table.move_to_end(caller)
        left = min(self._burst, found[0] + (now - found[1]) * self._rate)
        found[1] = now
        if left < amount:
            found[0] = left
            return (amount - left) / self._rate
        found[0] = left - amount
        return 0.0


class Counts:
    """How many of something each caller has open; a caller with none takes no room."""

    def __init__(self, *, each: int, together: int) -> None:
        """Remember the most for one caller, and for all."""
        self._each = each
        self._together = together
        self._open: dict[object, int] = {}
        self.total = 0

    def enter(self, caller: object) -> bool:
        """Take a place; False if there is none."""
        mine = self._open.get(caller, 0)
        if mine >= self._each or self.total >= self._together:
            return False
        self._open[caller] = mine + 1
        self.total += 1
        return True

    def leave(self, caller: object) -> None:
        """Give a place back."""
        left = self._open.get(caller, 0) - 1
        self.total -= 1
        if left > 0:
            self._open[caller] = left
        else:
            self._open.pop(caller, None)


def caller_of(
    client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]], proxies: frozenset[str]
) -> str:
    """Return whose bucket a request takes from: an IPv4 address, or the /64 of an IPv6 one.

    Args:
        client: who connected.
        headers: of the request.
        proxies: who may name another in the last entry of ``X-Forwarded-For``; what comes before it is the caller's
            own word, and is not believed.
    """
    host = client[0] if client else ""
    if host in proxies:
        named = [value for name, value in headers if name == b"x-forwarded-for"]
        if named:
            host = named[-1].rpartition(b",")[2].strip().decode("latin-1")
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else host


def seconds_text(wait: float) -> int:
    """Return seconds to wait, rounded up, at least 1."""
    return max(1, int(-(-wait // 1)))


Headers = Mapping[bytes, bytes]
"""Headers of a request by their names in lower case; of one that occurs twice the last."""
