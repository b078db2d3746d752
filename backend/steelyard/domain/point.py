"""An affine point of secp256k1, as contracts, formats and proofs write it."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.errors import ProofError


@dataclass(frozen=True, slots=True)
class Point:
    """An affine point ``(x, y)``, perhaps off the curve: see :func:`steelyard.crypto.curve.on_curve`."""

    x: int
    y: int

    @property
    def odd(self) -> int:
        """Lowest bit of ``y``."""
        return self.y & 1

    def abi(self) -> tuple[int, int]:
        """Return the value for the ABI type ``(uint256,uint256)``."""
        return (self.x, self.y)

    def encode(self) -> bytes:
        """Return ``x || y``, 64 bytes, big-endian.

        Raises:
            ProofError: a coordinate does not fit in 32 bytes.
        """
        if not (0 <= self.x < 1 << 256 and 0 <= self.y < 1 << 256):
            raise ProofError("a coordinate of a point does not fit in 32 bytes")
        return self.x.to_bytes(32, "big") + self.y.to_bytes(32, "big")
