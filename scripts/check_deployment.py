"""Check a written deployment against the chain: `tools/brownie run check_deployment --network <network>`.

Reads deployments/<chain id>.json; STEELYARD_CURATOR is the curator that the directory should have, if any.
"""

from __future__ import annotations

import sys

from scripts.deploy import ROOT, curator, deployment_file, endpoint
from steelyard.chain.deploy import verify
from steelyard.chain.deployment import Deployment


def main() -> None:
    """Verify code, directory, trail and privileges; raises VerificationError if anything is different."""
    rpc = endpoint()
    path = deployment_file(rpc.chain_id)
    verify(rpc, Deployment.load(path), curator=curator())
    print(f"{path.relative_to(ROOT)} is what lies on chain {rpc.chain_id}", file=sys.stderr)
