"""Verify: the public folder of a version against the chain, without any key."""

from __future__ import annotations

from steelyard.service.checked import check
from steelyard.service.context import Context
from steelyard.service.naming import asset_name, find_purchase, find_version
from steelyard.service.public import Progress
from steelyard.service.results import Purchase, Verified


def verify(context: Context, what: str | Purchase, *, progress: Progress | None) -> Verified:
    """Check a version; see :meth:`steelyard.Market.verify`. Reads everything anew."""
    if isinstance(what, Purchase):
        asset, purchase = find_purchase(context, what)
        version = asset.versions[purchase.version]
    else:
        asset, version = find_version(context, what)
    context.checked.pop(version.id, None)
    return check(context, version, name=asset_name(context, asset, version.number), progress=progress)
