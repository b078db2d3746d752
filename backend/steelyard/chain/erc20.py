"""ERC-20 tokens with ERC-2612 permits: call data, views, and the digest that a permit signs."""

from __future__ import annotations

from steelyard.chain.calls import Call, call_data
from steelyard.chain.hexdata import to_hex
from steelyard.chain.rpc import BlockId, Rpc
from steelyard.domain.abi import Value, decode, encode
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import ChainError, RevertError, VerificationError

_PERMIT = keccak256(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
_DOMAIN = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")


def approve(token: Address, spender: Address, amount: int) -> Call:
    """Allow ``spender`` to take up to ``amount`` smallest units from the caller."""
    return Call(token, call_data("approve(address,uint256)", spender, amount), name="ERC20.approve")


def transfer(token: Address, to: Address, amount: int) -> Call:
    """Transfer ``amount`` smallest units from the caller."""
    return Call(token, call_data("transfer(address,uint256)", to, amount), name="ERC20.transfer")


class Token:
    """Reads one ERC-20. Every method raises RevertError or ChainError if the token does not answer as one."""

    def __init__(self, rpc: Rpc, address: Address, *, block: BlockId = "latest") -> None:
        """Remember whom to ask about which token; ``block`` is the state to read."""
        self._rpc = rpc
        self.address = address
        self.block = block

    def balance_of(self, account: Address) -> int:
        """Return an account's smallest units."""
        return self._number("balanceOf(address)", account)

    def allowance(self, owner: Address, spender: Address) -> int:
        """Return how many smallest units ``spender`` may take from ``owner``."""
        return self._number("allowance(address,address)", owner, spender)

    def decimals(self) -> int:
        """Return how many decimals the token is shown with; the token's own claim."""
        number = self._number("decimals()")
        if number > 255:
            raise ChainError(f"token {to_hex(self.address)} claims {number} decimals")
        return number

    def symbol(self) -> str:
        """Return the token's symbol, its own claim, cut to 32 printable characters."""
        text = self._read("symbol()", "string")
        return "".join(c for c in str(text) if c.isprintable())[:32]

    def permit_nonce(self, owner: Address) -> int:
        """Return the nonce of the next permit of ``owner`` (ERC-2612)."""
        return self._number("nonces(address)", owner)

    def domain(self) -> tuple[str, str]:
        """Return name and version of the token's EIP-712 domain; the version is 1 where it does not say (ERC-2612)."""
        name = str(self._read("name()", "string"))
        try:
            return name, str(self._read("version()", "string"))
        except (RevertError, VerificationError):
            return name, "1"

    def permit_digest(self, *, owner: Address, spender: Address, value: int, deadline: int) -> bytes:
        """Return the 32-byte digest (EIP-712) that ``owner`` signs to allow ``spender`` to take ``value``.

        Args:
            owner: who signs.
            spender: who may take.
            value: smallest units.
            deadline: Unix seconds, last moment.

        Raises:
            VerificationError: the token's domain separator is not the one of its name, version 1, this chain and address,
                so it may be made for something else: use ``approve``.
        """
        separator = self._read("DOMAIN_SEPARATOR()", "bytes32")
        name, version = self.domain()
        parts = (
            _DOMAIN,
            keccak256(name.encode()),
            keccak256(version.encode()),
            self._rpc.chain_id,
            self.address,
        )
        expected = keccak256(encode(("bytes32", "bytes32", "bytes32", "uint256", "address"), parts))
        if separator != expected:
            raise VerificationError(
                f"token {to_hex(self.address)} signs under another domain: approve it instead"
            )
        types = ("bytes32", "address", "address", "uint256", "uint256", "uint256")
        message = encode(types, (_PERMIT, owner, spender, value, self.permit_nonce(owner), deadline))
        return keccak256(b"\x19\x01" + expected + keccak256(message))

    def _number(self, signature: str, *values: Value) -> int:
        number = self._read(signature, "uint256", *values)
        assert isinstance(number, int)  # what "uint256" decodes to
        return number

    def _read(self, signature: str, kind: str, *values: Value) -> Value:
        data = self._rpc.eth_call(self.address, call_data(signature, *values), block=self.block)
        try:
            return decode((kind,), data)[0]
        except VerificationError as exc:
            raise VerificationError(
                f"{to_hex(self.address)} does not answer {signature} as an ERC-20 does"
            ) from exc
