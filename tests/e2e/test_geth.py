"""The market under the rules of Cancun, Prague and Osaka, on anvil and on geth, a second and independent client.

Each chain plays the same small market: a sale, a dispute, a trail, a deadline. What happened on geth is then played again on anvil,
transaction by transaction: gas, logs and storage must be the same.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from steelyard.audit.bundle import parse as parse_bundle
from steelyard.audit.header import parse as parse_header
from steelyard.chain.calls import Call
from steelyard.chain.deploy import deploy, verify
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import checksum_address, quantity, read_quantity, to_hex
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.crypto.secret import Secret
from steelyard.demo.dishonest import publish_false
from steelyard.domain.types import Address, State
from steelyard.errors import InputError, LeafError, RefusedError, TrailError, UnsafeError
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.storage.embedded import EmbeddedStore

ROOT = Path(__file__).resolve().parents[2]
CHAINS = ("anvil cancun", "anvil prague", "anvil osaka", "geth prague", "geth osaka", "geth --dev")
GETH_CHAIN_ID = 1337
ETHER = 10**18
PRICE = ETHER // 20
MIN_BOND = ETHER // 100
HOUR = 3_600
SECONDS = 30
READY = re.compile(r"HTTP server started\s+endpoint=127\.0\.0\.1:(\d+)")
# Fields of a block header, by rules: EIP-4844 and EIP-4788 made it 20, EIP-7685 made it 21.
FIELDS = {"cancun": 20, "prague": 21, "osaka": 21, "--dev": 21}

MarketOf = Callable[..., Market]


# -- the chains --------------------------------------------------------------------------------------------------------


def find_geth() -> Path:
    """Return the program, from build/bin or PATH, or skip the test."""
    places = os.pathsep.join([str(ROOT / "build" / "bin"), os.environ.get("PATH", os.defpath)])
    found = shutil.which("geth", path=places)
    if found is None:
        pytest.skip("no geth found: build/bin/geth or PATH; .ci/run says how to build it")
    return Path(found)


def anvil_path() -> Path:
    configured = os.environ.get("STEELYARD_ANVIL")
    try:
        return find_anvil(configured=Path(configured) if configured else None, start=ROOT)
    except InputError as exc:
        pytest.skip(f"no anvil found: {exc}")


def until(what: str, found: Callable[[], Any]) -> Any:
    """Wait for something, and return it."""
    end = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return value


@contextmanager
def geth(folder: Path) -> Iterator[str]:
    """Run `geth --dev` in a folder; yields its endpoint."""
    command = [str(find_geth()), "--dev", "--datadir", str(folder), "--cache", "64", "--nodiscover"]
    command += ["--maxpeers", "0", "--ipcdisable"]
    command += ["--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--authrpc.port", "0"]
    command += ["--http.api", "eth,net,web3,testing,txpool"]
    log = folder.with_suffix(".log")
    with log.open("wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=out) as process:
        try:
            port = until("geth", lambda: process.poll() or READY.search(log.read_text(errors="replace")))
            assert process.poll() is None, log.read_text(errors="replace")
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            process.terminate()
            process.wait(SECONDS)


def genesis_of(rules: str, folder: Path) -> dict[str, Any]:
    """Return the genesis of `geth --dev` with the forks after `rules` taken out."""
    with geth(folder):
        pass
    dumped = subprocess.run(
        [str(find_geth()), "--verbosity", "0", "dumpgenesis", "--datadir", str(folder)],
        capture_output=True,
        check=True,
        timeout=SECONDS,
    )
    genesis: dict[str, Any] = json.loads(dumped.stdout)
    forks = ["pragueTime", "osakaTime"][: 1 if rules == "prague" else 2]
    config = genesis["config"]
    later = [name for name in config if name.endswith("Time") and name not in ("shanghaiTime", "cancunTime")]
    assert set(forks) <= set(later)
    for name in set(later) - set(forks):
        del config[name]
    return genesis


@dataclass
class Chain:
    """A chain, who has money on it, and a market on it.

    Attributes:
        client: anvil or geth.
        rules: name of a hard fork, or what `geth --dev` has by itself.
        url: endpoint.
        rpc: reader of it.
        faucet: an account with much money.
        deployment: the market.
    """

    client: str
    rules: str
    url: str
    rpc: Rpc
    faucet: Sender
    deployment: Deployment
    _stop: threading.Event = field(default_factory=threading.Event)
    _producer: threading.Thread | None = None

    def forward(self, seconds: int) -> None:
        """Move the chain's clock on, in seconds.

        geth has no call for this, but its namespace for tests commits a block of any later time. From then on its own producer,
        which goes by the clock of this machine, makes no block any more, and a thread of ours does.
        """
        if self.client == "anvil":
            self.rpc.call("evm_increaseTime", (seconds,))
            self.rpc.call("evm_mine")
            return
        self._commit(seconds, ())
        if self._producer is None:
            self._producer = threading.Thread(target=self._produce, daemon=True)
            self._producer.start()

    def close(self) -> None:
        """Stop producing."""
        self._stop.set()
        if self._producer is not None:
            self._producer.join(SECONDS)
        self.rpc.close()

    def _commit(self, seconds: int, transactions: tuple[str, ...] | None) -> None:
        zero = to_hex(bytes(32))
        attributes = {
            "timestamp": quantity(self.rpc.get_block("latest").timestamp + seconds),
            "prevRandao": zero,
            "parentBeaconBlockRoot": zero,
            "suggestedFeeRecipient": to_hex(bytes(20)),
            "withdrawals": [],
        }
        self.rpc.call("testing_commitBlockV1", (attributes, transactions, None))

    def _produce(self) -> None:
        while not self._stop.wait(0.02):
            if read_quantity(self.rpc.call("txpool_status")["pending"], "pending"):
                self._commit(1, None)


def start_geth(rules: str, folder: Path, exits: ExitStack) -> str:
    data = folder / "data"
    if rules != "--dev":
        file = folder / "genesis.json"
        file.write_text(json.dumps(genesis_of(rules, folder / "default")))
        command = [str(find_geth()), "--verbosity", "1", "init", "--datadir", str(data), str(file)]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    return exits.enter_context(geth(data))


def funded_by_geth(rpc: Rpc) -> bytes:
    """Return the key of a new account, paid by the developer's account, the only one that geth has unlocked."""
    key = secrets.token_bytes(32)
    account = Account.from_key(key).address
    payment = {"from": rpc.call("eth_accounts")[0], "to": to_hex(account), "value": quantity(10_000 * ETHER)}
    rpc.call("eth_sendTransaction", (payment,))
    until("the developer's payment", lambda: rpc.get_balance(account))
    return key


@pytest.fixture(scope="module", params=CHAINS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    client, rules = request.param.split()
    with ExitStack() as exits:
        if client == "anvil":
            node = exits.enter_context(Node.start(anvil_path(), options=("--hardfork", rules)))
            url, chain_id = node.url, node.chain_id
        else:
            url, chain_id = start_geth(rules, tmp_path_factory.mktemp("geth"), exits), GETH_CHAIN_ID
        rpc = Rpc(url, chain_id=chain_id)
        key = node.keys[0] if client == "anvil" else funded_by_geth(rpc)
        faucet = Sender(rpc, lambda: key, poll=0.05)
        made = Chain(client, rules, url, rpc, faucet, deploy(faucet, min_bond=MIN_BOND))
        exits.callback(made.close)
        yield made


@pytest.fixture
def market_of(chain: Chain, store: EmbeddedStore, tmp_path: Path) -> Iterator[MarketOf]:
    """Make a market for a fresh, funded account."""
    with ExitStack() as exits:

        def make() -> Market:
            account = Account.from_key(Secret(secrets.token_bytes(32)))
            chain.faucet.send(Call(account.address, b"", 100 * ETHER))
            market = Market(
                chain.url,
                deployment=chain.deployment,
                store=store,
                account=account,
                home=tmp_path / account.address.hex(),
                settings=Settings(poll=0.05, margin=0),
            )
            return exits.enter_context(market)

        yield make


def same_files(a: Path, b: Path) -> bool:
    files = {path.relative_to(a): path.read_bytes() for path in a.rglob("*") if path.is_file()}
    return files == {path.relative_to(b): path.read_bytes() for path in b.rglob("*") if path.is_file()}


# -- the market on each of them ----------------------------------------------------------------------------------------


def test_the_chain_has_the_rules_it_is_named_after(chain: Chain) -> None:
    assert chain.rpc.call("web3_clientVersion").lower().startswith(chain.client)
    # Precompiles that came with Prague (addition on BLS12-381, EIP-2537) and with Osaka (secp256r1, EIP-7951).
    probes = {0x0B: bytes(256), 0x100: p256_signature()}
    calls = [{"to": to_hex(at.to_bytes(20, "big")), "data": to_hex(data)} for at, data in probes.items()]
    answers = [chain.rpc.call("eth_call", (call, "latest")) != "0x" for call in calls]
    assert answers == {"cancun": [False, False], "prague": [True, False]}.get(chain.rules, [True, True])


def p256_signature() -> bytes:
    """Return digest, r, s, x and y of a right signature on secp256r1, 32 bytes each."""
    key, digest = ec.generate_private_key(ec.SECP256R1()), bytes(range(32))
    r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
    point = key.public_key().public_numbers()
    return digest + b"".join(number.to_bytes(32, "big") for number in (r, s, point.x, point.y))


def test_a_model_is_sold_delivered_and_paid_for(
    chain: Chain, seller: Market, buyer: Market, folder: Path, tmp_path: Path
) -> None:
    published = seller.publish(folder, name="digits")
    seller.offer(published.ref, price=PRICE)
    purchase = buyer.buy(published.ref, wait=False)
    assert purchase.state is State.PAID
    delivery = seller.deliver(purchase)
    assert same_files(folder, purchase.refresh().pull(tmp_path / "got"))
    before = chain.rpc.get_balance(seller.context.account.address)
    out = seller.withdraw()
    assert out.amount == PRICE
    assert chain.rpc.get_balance(seller.context.account.address) == before + PRICE - out.fee_wei
    assert 100_000 < delivery.gas_used < 400_000


def test_false_content_is_disputed_and_every_buyer_refunded(
    seller: Market, buyer: Market, market_of: MarketOf, folder: Path, tmp_path: Path
) -> None:
    publish_false(seller, folder, name="false")
    ref = f"{checksum_address(seller.context.account.address)}/false"
    seller.fund_bond(2 * MIN_BOND)
    seller.offer(ref, price=PRICE, window=HOUR)
    other = market_of()
    purchase, waiting = buyer.buy(ref, wait=False), other.buy(ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(LeafError, match="Dispute"):
        purchase.refresh().pull(tmp_path / "got")
    disputed = buyer.dispute(purchase)
    assert disputed.flagged and disputed.state is State.REFUNDED
    assert other.refund(waiting).state is State.REFUNDED
    assert [market.withdraw().amount for market in (buyer, other)] == [PRICE + MIN_BOND] * 2
    with pytest.raises(UnsafeError, match="proved false"):
        other.buy(ref, wait=False)


def test_a_trail_is_proved_by_the_client_and_verified_offline(
    chain: Chain, seller: Market, buyer: Market, store: EmbeddedStore, folder: Path, tmp_path: Path
) -> None:
    published = seller.publish(folder, name="digits")
    seller.offer(published.ref, price=PRICE)
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    path = buyer.export(published.ref, tmp_path / "bundle.json")
    bundle = parse_bundle(path.read_bytes())
    header = parse_header(bundle.header)
    assert header.hash == chain.rpc.get_block(header.number).hash
    assert len(header.fields) == FIELDS[chain.rules]
    with Market("http://127.0.0.1:9", deployment=chain.deployment, store=store) as auditor:
        state = auditor.verify_bundle(path, block_hash=header.hash)
        assert state.purchases[purchase.id].state is State.SETTLED
        document = json.loads(path.read_bytes())
        del document["entries"][2]
        path.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
        with pytest.raises(TrailError):
            auditor.verify_bundle(path, block_hash=header.hash)


def test_a_sale_that_is_not_delivered_in_time_is_refunded(
    chain: Chain, seller: Market, buyer: Market, folder: Path
) -> None:
    published = seller.publish(folder, name="silent")
    seller.fund_bond(MIN_BOND)
    seller.offer(published.ref, price=PRICE, deliver_within=HOUR, bond=MIN_BOND)
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(RefusedError, match="may deliver until"):
        buyer.refund(purchase)
    chain.forward(HOUR + 1)
    assert buyer.refund(purchase).state is State.REFUNDED
    assert buyer.withdraw().amount == PRICE + MIN_BOND


# -- two clients, one outcome ------------------------------------------------------------------------------------------


def replay(chain: Chain, other: Rpc) -> list[tuple[object, object]]:
    """Play a chain again on an anvil that mines when told, block by block; returns what became of each transaction, on both."""
    pairs = []
    for number in range(1, chain.rpc.block_number() + 1):
        block = chain.rpc.call("eth_getBlockByNumber", (quantity(number), False))
        for tx in block["transactions"]:
            raw = chain.rpc.call("eth_getRawTransactionByHash", (tx,))
            assert other.call("eth_sendRawTransaction", (raw,)) == tx
        other.call("evm_setNextBlockTimestamp", (int(block["timestamp"], 16),))
        other.call("evm_mine")
        pairs += [(outcome(chain.rpc, tx), outcome(other, tx)) for tx in block["transactions"]]
    return pairs


def outcome(rpc: Rpc, tx: str) -> tuple[object, ...]:
    found = rpc.get_receipt(bytes.fromhex(tx[2:]))
    assert found is not None, f"{tx} is in no block at {rpc.name}"
    logs = [(log.address, log.topics, log.data) for log in found.logs]
    return found.status, found.gas_used, found.block_number, found.contract, logs


def test_anvil_does_the_same_with_the_same_transactions(chain: Chain) -> None:
    if chain.client == "anvil":
        pytest.skip("anvil is what geth is compared with")
    rules = "osaka" if chain.rules == "--dev" else chain.rules
    options = ("--hardfork", rules, "--no-mining", "--order", "fifo", "--base-fee", "0", "--timestamp", "1")
    developer = chain.rpc.call("eth_accounts")[0]
    with Node.start(anvil_path(), chain_id=GETH_CHAIN_ID, options=options) as node:
        with Rpc(node.url, chain_id=GETH_CHAIN_ID) as other:
            other.call("anvil_setBalance", (developer, quantity(10**9 * ETHER)))
            pairs = replay(chain, other)
            assert len(pairs) > 40
            assert [here for here, _ in pairs] == [there for _, there in pairs]
            verify(other, chain.deployment)
            assert storage(other, chain.deployment) == storage(chain.rpc, chain.deployment)


def storage(rpc: Rpc, deployment: Deployment) -> dict[str, tuple[bytes, bytes, int]]:
    """Return storage root, code hash and balance of each contract, as the client proves them."""
    found = {}
    for name, item in deployment.contracts.items():
        proof = rpc.get_proof(item.address, [], block="latest")
        found[name] = (proof.storage_hash, proof.code_hash, proof.balance)
    return found


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_command_line_deploys_and_sells_on_geth(tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    password = tmp_path / "password"
    password.write_text("a password of this test\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
    env |= {
        "STEELYARD_HOME": str(home),
        "STEELYARD_CONFIG": str(tmp_path / "none.toml"),
        "STEELYARD_PASSWORD_FILE": str(password),
        "PYTHONPATH": str(ROOT / "backend"),
    }

    def cli(*argv: str) -> Any:
        command = [sys.executable, "-P", "-m", "steelyard.cli.main", *argv, "--json"]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with geth(tmp_path / "geth") as url, Rpc(url, chain_id=GETH_CHAIN_ID) as rpc:
        faucet = Sender(rpc, lambda key=funded_by_geth(rpc): key, poll=0.05)  # type: ignore[misc]
        address = bytes.fromhex(cli("account", "create", "owner")["address"][2:])
        faucet.send(Call(Address(address), b"", 100 * ETHER))
        cli("up", "--rpc", url, "--account", "owner", "--dev", "--yes")
        try:
            cli("publish", str(folder), "--name", "digits", "--price", "0.05eth", "--account", "alice")
            bought = cli("buy", "alice/digits", "--account", "bob", "--yes", "--wait", "0")
            cli("deliver", bought["id"], "--account", "alice")
            pulled = cli("pull", "alice/digits", "--account", "bob")
            assert same_files(folder, Path(pulled["path"]))
        finally:
            cli("down")
