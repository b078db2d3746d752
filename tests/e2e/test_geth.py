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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from steelyard.audit.bundle import parse as parse_bundle
from steelyard.chain.calls import Call
from steelyard.chain.deploy import deploy, verify
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import checksum_address, parse_address, quantity, read_quantity, to_hex
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.chain.views import Views
from steelyard.crypto.secret import Secret
from steelyard.demo.dishonest import publish_false
from steelyard.domain.header import parse as parse_header
from steelyard.domain.types import Address, State
from steelyard.errors import InputError, LeafError, RefusedError, TrailError, UnsafeError
from steelyard.indexer.entries import CONTRACT_OF
from steelyard.indexer.evidence import prove_entries, prove_heads
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.source import Source
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
ASLEEP = "1000000"  # seconds between two blocks
READY = re.compile(r"HTTP server started\s+endpoint=127\.0\.0\.1:(\d+)")
# Fields of a block header, by rules: EIP-4844 and EIP-4788 made it 20, EIP-7685 made it 21.
FIELDS = {"cancun": 20, "prague": 21, "osaka": 21, "--dev": 21}

MarketOf = Callable[..., Market]
Outcome = tuple[object, ...]


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
def geth(folder: Path, *options: str) -> Iterator[str]:
    """Run `geth --dev` in a folder; yields its endpoint."""
    command = [str(find_geth()), "--dev", "--datadir", str(folder), "--cache", "64", "--nodiscover"]
    command += ["--maxpeers", "0", "--ipcdisable", "--authrpc.port", "0", *options]
    command += [
        "--http",
        "--http.addr",
        "127.0.0.1",
        "--http.port",
        "0",
        "--http.api",
        "eth,web3,testing,txpool",
    ]
    log = folder.with_suffix(".log")
    with log.open("wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=out) as process:
        try:
            port = until("geth", lambda: process.poll() or READY.search(log.read_text(errors="replace")))
            assert process.poll() is None, log.read_text(errors="replace")
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            process.terminate()
            process.wait(SECONDS)


def initialise(folder: Path, rules: str, funded: Address) -> None:
    """Write into a folder the genesis of `geth --dev` without the forks after `rules`, and with money for an account."""
    program = str(find_geth())
    dumped = subprocess.run(
        [program, "--dev", "dumpgenesis"], capture_output=True, check=True, timeout=SECONDS
    )
    genesis = json.loads(dumped.stdout)
    kept = ["shanghaiTime", "cancunTime", "pragueTime", *(["osakaTime"] if rules == "osaka" else [])]
    config = {name: value for name, value in genesis["config"].items() if not name.endswith("Time")}
    genesis["config"] = config | {name: genesis["config"][name] for name in kept}
    genesis["alloc"][funded.hex()] = {"balance": quantity(10_000 * ETHER)}
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(genesis))
    command = [program, "init", "--datadir", str(folder), str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


class Producer:
    """Makes the blocks of a geth whose own producer sleeps, by its namespace for tests, with a clock that can be moved."""

    def __init__(self, rpc: Rpc) -> None:
        """Start; a block is made when a transaction waits."""
        self._rpc = rpc
        self._stop = threading.Event()
        self._one = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def forward(self, seconds: int) -> None:
        """Make a block that much later than the newest one; all others come after it."""
        with self._one:
            self._commit(seconds)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            with self._one:
                if read_quantity(self._rpc.call("txpool_status")["pending"], "pending"):
                    self._commit(1)

    def _commit(self, seconds: int) -> None:
        zero = to_hex(bytes(32))
        parent = self._rpc.get_block("latest").timestamp or int(time.time())
        attributes = {
            "timestamp": quantity(parent + seconds),
            "prevRandao": zero,
            "parentBeaconBlockRoot": zero,
            "suggestedFeeRecipient": to_hex(bytes(20)),
            "withdrawals": [],
        }
        self._rpc.call("testing_commitBlockV1", (attributes, None, None))


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A chain, who has money on it, and a market on it.

    Attributes:
        client: anvil or geth.
        rules: name of a hard fork, or what `geth --dev` has by itself.
        url: endpoint.
        rpc: reader of it.
        faucet: an account with much money.
        forward: moves the clock on, in seconds; None where that cannot be done.
        deployment: the market.
    """

    client: str
    rules: str
    url: str
    rpc: Rpc
    faucet: Sender
    forward: Callable[[int], None] | None
    deployment: Deployment


@pytest.fixture(scope="module", params=CHAINS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    client, rules = request.param.split()
    key = secrets.token_bytes(32)
    account = Account.from_key(key).address
    forward: Callable[[int], None] | None = None
    with ExitStack() as exits:
        if client == "anvil":
            node = exits.enter_context(Node.start(anvil_path(), options=("--hardfork", rules)))
            url, chain_id = node.url, node.chain_id
        else:
            folder, chain_id = tmp_path_factory.mktemp("geth") / "data", GETH_CHAIN_ID
            if rules != "--dev":
                initialise(folder, rules, account)
            url = exits.enter_context(geth(folder, *(() if rules == "--dev" else ("--dev.period", ASLEEP))))
        rpc = exits.enter_context(Rpc(url, chain_id=chain_id))
        if client == "anvil":
            rpc.call("anvil_setBalance", (to_hex(account), quantity(10_000 * ETHER)))
            forward = partial(forward_anvil, rpc)
        elif rules == "--dev":
            fund_by_geth(rpc, account)
        else:
            producer = Producer(rpc)
            exits.callback(producer.stop)
            forward = producer.forward
        faucet = Sender(rpc, lambda: key, poll=0.05)
        deployment = deploy(faucet, min_bond=MIN_BOND)
        yield Chain(
            client=client,
            rules=rules,
            url=url,
            rpc=rpc,
            faucet=faucet,
            forward=forward,
            deployment=deployment,
        )


def forward_anvil(rpc: Rpc, seconds: int) -> None:
    rpc.call("evm_increaseTime", (seconds,))
    rpc.call("evm_mine")


def fund_by_geth(rpc: Rpc, account: Address) -> None:
    """Let the developer's account pay, the only one that geth has unlocked."""
    payment = {"from": rpc.call("eth_accounts")[0], "to": to_hex(account), "value": quantity(10_000 * ETHER)}
    rpc.call("eth_sendTransaction", (payment,))
    until("the developer's payment", lambda: rpc.get_balance(account))


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
    seller.deliver(purchase)
    assert same_files(folder, purchase.refresh().pull(tmp_path / "got"))
    before = chain.rpc.get_balance(seller.context.account.address)
    out = seller.withdraw()
    assert out.amount == PRICE
    assert chain.rpc.get_balance(seller.context.account.address) == before + PRICE - out.fee_wei


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
    if chain.forward is None:
        # The clock of a geth that makes its own blocks is that of this machine.
        return
    chain.forward(HOUR + 1)
    assert buyer.refund(purchase).state is State.REFUNDED
    assert buyer.withdraw().amount == PRICE + MIN_BOND


def test_headers_prove_what_an_index_reads(chain: Chain) -> None:
    """All receipts and transactions of every block, and the heads at the newest one: this is how endpoints that disagree are judged."""
    contracts = {name: chain.deployment.contracts[name].address for name in ("Assets", "Market", "Treasury")}
    source = Source(chain.rpc, contracts)
    newest = source.newest()
    found = source.entries(0, newest.number).entries
    for number in range(newest.number + 1):
        proven = prove_entries(source, source.block(number))
        assert proven.has_hashes
        assert proven.entries == [entry for entry in found if entry.pos >> SHIFT == number]
    pairs = sorted({(bytes(contracts[CONTRACT_OF[entry.kind]]), entry.subject) for entry in found})
    assert len(pairs) > 1
    proved = prove_heads(source, newest, pairs)
    assert proved == source.heads(pairs, newest.hash) and bytes(32) not in proved
    assert prove_heads(source, newest, [(pairs[0][0], b"\1" * 32)]) == [bytes(32)]


# -- two clients, one outcome ------------------------------------------------------------------------------------------


def replay(chain: Chain, other: Rpc) -> list[tuple[Outcome, Outcome]]:
    """Play a chain again on an anvil that mines when told, block by block; returns what became of each transaction, on both."""
    pairs = []
    for number in range(1, chain.rpc.block_number() + 1):
        block = chain.rpc.call("eth_getBlockByNumber", (quantity(number), False))
        for tx in block["transactions"]:
            raw = chain.rpc.call("eth_getRawTransactionByHash", (tx,))
            assert other.call("eth_sendRawTransaction", (raw,)) == tx
        other.call("evm_setNextBlockTimestamp", (int(block["timestamp"], 16),))
        other.call("evm_mine")
        assert other.get_block(number).timestamp == int(block["timestamp"], 16)
        pairs += [(outcome(chain.rpc, tx), outcome(other, tx)) for tx in block["transactions"]]
    return pairs


def outcome(rpc: Rpc, tx: str) -> Outcome:
    found = rpc.get_receipt(bytes.fromhex(tx[2:]))
    assert found is not None, f"{tx} is in no block at {rpc.name}"
    logs = tuple((log.address, log.topics, log.data) for log in found.logs)
    return found.gas_used, found.status, found.block_number, found.contract, logs


def test_the_same_transactions_do_the_same_elsewhere(chain: Chain) -> None:
    # What geth did under some rules, anvil must do for the same gas; what anvil did, it must do under other rules. Prices differ
    # between rules: of modular exponentiation (EIP-7883, Osaka), and by itself `geth --dev` has those of the fork after Osaka too.
    same_prices = chain.client == "geth" and chain.rules != "--dev"
    rules = chain.rules if same_prices else {"cancun": "prague", "osaka": "cancun"}.get(chain.rules, "osaka")
    compared = slice(0 if same_prices else 1, None)
    options = ("--hardfork", rules, "--no-mining", "--order", "fifo", "--base-fee", "0", "--timestamp", "1")
    rich = [chain.faucet.address, *(bytes.fromhex(item[2:]) for item in chain.rpc.call("eth_accounts"))]
    with (
        Node.start(anvil_path(), chain_id=chain.rpc.chain_id, options=options) as node,
        Rpc(node.url, chain_id=node.chain_id) as other,
    ):
        for account in rich:
            other.call("anvil_setBalance", (to_hex(account), quantity(10**9 * ETHER)))
        pairs = replay(chain, other)
        assert len(pairs) > 30
        for here, there in pairs:
            assert here[compared] == there[compared]
        verify(other, chain.deployment)
        kept = heads(chain.rpc, chain.deployment)
        assert heads(other, chain.deployment) == kept and len(kept) > 10


def heads(rpc: Rpc, deployment: Deployment) -> dict[tuple[str, bytes], bytes]:
    """Return the heads of all trails: they fold number and time of every block in which something was said."""
    logs = rpc.get_logs(
        [item.address for item in deployment.contracts.values()], first=0, last=rpc.block_number()
    )
    subjects = {log.topics[1] for log in logs if len(log.topics) > 1}
    views = Views(rpc, deployment)
    names = [name for name in deployment.contracts if name != "FraudChecker"]
    found = {(name, subject): views.head(name, subject) for name in names for subject in subjects}
    return {key: head for key, head in found.items() if head != bytes(32)}


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_command_line_deploys_and_sells_on_geth(tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    password = tmp_path / "password"
    password.write_text("a password of this test\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
    env |= {
        "STEELYARD_HOME": str(home),
        "STEELYARD_CONFIG": str(tmp_path / "none.toml"),
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
        owner = ("--account", "owner", "--password-file", str(password))
        made = cli("account", "create", "owner", *owner[2:])
        fund_by_geth(rpc, parse_address(made["address"]))
        cli("up", "--rpc", url, "--dev", "--yes", *owner)
        try:
            cli("publish", str(folder), "--name", "digits", "--price", "0.05eth", "--account", "alice")
            bought = cli("buy", "alice/digits", "--account", "bob", "--yes", "--wait", "0")
            cli("deliver", bought["id"], "--account", "alice")
            pulled = cli("pull", "alice/digits", "--account", "bob")
            assert same_files(folder, Path(pulled["path"]))
        finally:
            cli("down")
