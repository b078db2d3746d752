"""The account that signs. The only module that imports web3, and it does so when the account is opened.

web3 makes the account and knows the fees; its middleware, which asks for the chain id around every call, is left out.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steelyard.chain.rpc import Rpc
from steelyard.errors import ConfigError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from web3 import Web3


def open_account(rpc: Rpc, key: Callable[[], bytes]) -> tuple[Web3, LocalAccount]:
    """Return web3 on an endpoint, and the account of a key.

    Args:
        rpc: the endpoint.
        key: returns the private key, 32 bytes.

    Raises:
        ConfigError: it is no private key.
    """
    depth = sys.getrecursionlimit()
    with warnings.catch_warnings():
        # web3 7.16 imports its old WebSocket provider, whose library calls that part of itself deprecated.
        warnings.filterwarnings("ignore", "websockets.legacy is deprecated", DeprecationWarning)
        from web3 import Web3
        from web3.providers.base import BaseProvider
        from web3.types import RPCEndpoint, RPCResponse
    # A library of web3 (py_ecc) raises the limit to 100,000: deeply nested JSON would then crash the process, not raise.
    sys.setrecursionlimit(depth)

    class Provider(BaseProvider):
        """web3's way to the endpoint."""

        def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
            return {"jsonrpc": "2.0", "id": 1, "result": rpc.call(method, params)}

    web3 = Web3(Provider(), middleware=[])
    try:
        account: LocalAccount = web3.eth.account.from_key(key())
    except (ValueError, TypeError):
        # The library's text may repeat the key.
        raise ConfigError(
            "the account's private key is not one: 32 bytes, not zero, below the group order"
        ) from None
    return web3, account
