"""The bundle of the market in ``chain.py``, and ways to change it."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

from steelyard.audit.build import Build, load
from steelyard.audit.collect import collect, fetch_header
from steelyard.audit.verify import Anchors, Verified, verify
from tests.unit.audit.chain import ASSET, BUILDS, CHAIN_ID, DIRECTORY, RECORDS, Chain, market


@cache
def honest() -> tuple[Chain, bytes, Anchors]:
    """Return the chain, its bundle, and the auditor's anchors. The chain must not be changed."""
    chain = market()
    data, verified = collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    return chain, data, anchors_of(chain, verified)


def anchors_of(chain: Chain, verified: Verified) -> Anchors:
    header, _ = fetch_header(chain, "latest")
    assert header.hash == verified.block.hash
    return Anchors(chain_id=CHAIN_ID, directory=DIRECTORY, block_hash=header.hash, builds=BUILDS)


def document() -> Any:
    """Return the honest bundle as a JSON value of the test's own."""
    return copy.deepcopy(json.loads(honest()[1]))


def dump(value: Any) -> bytes:
    """Return canonical bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def check(value: Any, anchors: Anchors | None = None) -> Verified:
    """Verify a JSON value against the honest anchors."""
    return verify(dump(value), anchors=anchors or honest()[2])


def build_with(name: str, **changes: Any) -> dict[str, Build]:
    """Return the known builds with one of them changed."""
    record = next(item for item in RECORDS if item["contractName"] == name)
    return {**BUILDS, name: load(record | changes)}
