"""What is mutated, and which tests are asked first. All the others are asked too before a mutant has survived."""

from __future__ import annotations

from dataclasses import dataclass

# What is deployed, or inherited by users: path and name.
PRODUCTION = {
    "contracts/Assets.sol": "Assets",
    "contracts/Channels.sol": "Channels",
    "contracts/Directory.sol": "Directory",
    "contracts/FraudChecker.sol": "FraudChecker",
    "contracts/LeafChecker.sol": "LeafChecker",
    "contracts/Market.sol": "Market",
    "contracts/Treasury.sol": "Treasury",
}


@dataclass(frozen=True)
class Target:
    """A file, the group it counts for, and its most likely killers."""

    file: str
    group: str
    # files of test contracts that have the library compiled into them, below tests/forge and without `.t.sol`
    units: tuple[str, ...] = ()
    # a pattern of forge's test files, below tests/forge
    forge: str = "market/*"
    # brownie's test files, without `test_` and `.py`
    brownie: tuple[str, ...] = ()


TARGETS = (
    Target(
        "contracts/libraries/Dleq.sol",
        "proof",
        ("Dleq",),
        "market/*",
        ("deliver", "key_requests", "dispute"),
    ),
    Target(
        "contracts/libraries/Secp256k1.sol",
        "proof",
        ("Secp256k1", "Content", "Dleq"),
        "market/*",
        ("deliver", "dispute", "buy", "assets"),
    ),
    Target(
        "contracts/libraries/Content.sol", "proof", ("Content",), "LeafChecker.t.sol", ("dispute", "assets")
    ),
    Target("contracts/libraries/Aes256.sol", "proof", ("Aes256",), "LeafChecker.t.sol", ("dispute",)),
    Target("contracts/libraries/Ids.sol", "proof", (), "market/*", ("offers", "buy", "deliver", "assets")),
    Target("contracts/FraudChecker.sol", "proof", (), "market/*", ("dispute",)),
    Target("contracts/LeafChecker.sol", "proof", (), "LeafChecker.t.sol", ("dispute",)),
    Target(
        "contracts/market/Purchases.sol",
        "escrow",
        (),
        "market/*",
        ("buy", "deliver", "settle", "dispute", "tokens", "interleaved", "offers", "licences", "smallest"),
    ),
    Target(
        "contracts/Escrow.sol",
        "escrow",
        (),
        "market/*",
        ("tokens", "escrow", "smallest", "buy", "settle", "metering"),
    ),
    Target(
        "contracts/market/Bonds.sol",
        "escrow",
        (),
        "market/*",
        ("escrow", "smallest", "buy", "settle"),
    ),
    Target(
        "contracts/market/KeyRequests.sol",
        "escrow",
        (),
        "market/*",
        ("key_requests", "smallest", "dispute", "licences"),
    ),
    Target(
        "contracts/market/Licences.sol",
        "escrow",
        (),
        "market/*",
        ("licences", "buy", "receivers", "key_requests", "deliver", "settle"),
    ),
    Target(
        "contracts/market/Offers.sol",
        "escrow",
        (),
        "market/*",
        ("offers", "smallest", "buy", "settle", "licences"),
    ),
    Target("contracts/Market.sol", "escrow", (), "market/*", ("buy",)),
    Target("contracts/Channels.sol", "metering", (), "metering/*.t.sol", ("metering",)),
    Target("contracts/metering/MeteredOffers.sol", "metering", (), "metering/*.t.sol", ("metering",)),
    Target(
        "contracts/metering/Vouchers.sol",
        "metering",
        ("metering/Vouchers",),
        "metering/*.t.sol",
        ("metering",),
    ),
    Target("contracts/metering/Signed.sol", "metering", (), "metering/*.t.sol", ("metering",)),
    Target("contracts/metering/Receipts.sol", "metering", (), "metering/*.t.sol", ("metering",)),
    Target(
        "contracts/Treasury.sol",
        "treasury",
        (),
        "treasury/*",
        ("treasury", "smallest", "tokens", "receivers"),
    ),
    Target(
        "contracts/Assets.sol",
        "registry",
        (),
        "market/*",
        ("assets", "stages", "access", "receivers", "licences"),
    ),
    Target("contracts/Trail.sol", "registry", (), "market/*", ("assets", "settle")),
    Target("contracts/Directory.sol", "registry", (), "market/*", ("directory", "access")),
)


def target(file: str) -> Target:
    """Return the target that is this file.

    Raises:
        KeyError: It is none.
    """
    for candidate in TARGETS:
        if candidate.file == file:
            return candidate
    raise KeyError(file)


def unit_path(name: str) -> str:
    """Return the file of a test contract that has a library compiled into it."""
    return f"tests/forge/{name}.t.sol"
