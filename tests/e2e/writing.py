"""The HTTP service on a socket of this machine, and wallets that sign for it with eth_account."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import urllib3
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct

from steelyard.api.endpoints import application
from steelyard.api.server import Server, listen, url_of
from steelyard.api.service import Limits, Options, Service
from steelyard.api.state import State
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import to_hex
from steelyard.chain.rpc import Rpc
from steelyard.domain.siwe import Message
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer
from steelyard.market import Market
from steelyard.query.audit import Audit
from steelyard.service.account import Account


class Http:
    """The service, on a socket of this machine, with an index that is brought up to date when asked."""

    def __init__(self, market: Market, place: Path, rpc: Rpc, deployment: Deployment, **options: Any) -> None:
        self.socket = listen("127.0.0.1:0")
        self.url = url_of(self.socket)
        database = open_database(place / "index.sqlite")
        self.indexer = Indexer(database, [rpc], deployment)
        try:
            self.indexer.catch_up()
        except BaseException:
            self.socket.close()
            raise
        self.state = State.open(place / "service.sqlite")
        self.threads = ThreadPoolExecutor(4)
        limits = Limits(per_minute=0)
        self.service = Service(
            audit=Audit(database),
            market=market,
            state=self.state,
            options=Options(public_url=self.url, limits=limits, **options),
            threads=self.threads,
        )
        self.server = Server(
            application(self.service),
            limits=limits,
            sockets=[self.socket],
            stopping=self.service.stopping,
        )
        self.thread = threading.Thread(target=self.server.serve_until_stopped)
        self.thread.start()
        self.pool = urllib3.PoolManager(retries=False, timeout=60)

    def close(self) -> None:
        self.pool.clear()
        self.server.stop()
        self.thread.join(30)
        self.threads.shutdown()
        self.state.close()
        self.service.audit.close()
        self.socket.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        media = "application/json" if raw is None else "application/octet-stream"
        named = {**({"content-type": media} if data else {}), **(headers or {})}
        if token is not None:
            named["authorization"] = f"Bearer {token}"
        answer = self.pool.request(method, self.url + path, body=data, headers=named)
        return answer.status, json.loads(answer.data) if answer.data else None

    def sign_in(self, account: Account) -> str:
        """Sign in as a wallet does: the text is built by ours, the signature by eth_account."""
        _, nonce = self.ask("POST", "/v1/session/nonce")
        text = Message(
            domain=nonce["domain"],
            address=account.address,
            uri=nonce["uri"],
            chain_id=nonce["chain_id"],
            nonce=nonce["nonce"],
            issued_at=int(self.service.clock()),
        ).text()
        signed = Wallet.sign_message(encode_defunct(text=text), account.key.reveal())
        status, made = self.ask(
            "POST", "/v1/session", {"message": text, "signature": to_hex(bytes(signed.signature))}
        )
        assert status == 201, made
        return str(made["token"])

    def prepare(self, act: str, signer: Account, /, *, token: str | None = None, **body: object) -> Any:
        status, made = self.ask(
            "POST", f"/v1/tx/{act}", {"from": to_hex(signer.address), **body}, token=token
        )
        assert status == 200, made
        return made

    def refused(self, act: str, signer: Account, /, **body: object) -> tuple[str, str | None]:
        status, problem = self.ask("POST", f"/v1/tx/{act}", {"from": to_hex(signer.address), **body})
        assert status >= 400, problem
        return problem["code"], problem.get("contract_error")

    def send(self, account: Account, transactions: list[dict[str, Any]]) -> list[bytes]:
        """Sign transactions with eth_account and pass them on through the service."""
        sent = []
        for item in transactions:
            fields = {key: value for key, value in item.items() if key not in ("does", "simulated")}
            for name in ("value", "maxFeePerGas", "maxPriorityFeePerGas"):
                fields[name] = int(fields[name])
            raw = Wallet.sign_transaction(fields, account.key.reveal()).raw_transaction
            status, passed = self.ask("POST", "/v1/tx/send", {"raw": to_hex(bytes(raw))})
            assert status == 200, passed
            sent.append(bytes.fromhex(passed["tx"][2:]))
            assert self.mined(sent[-1]), item["does"]
        return sent

    def mined(self, tx: bytes) -> bool:
        """Return whether a transaction succeeded, once it is in a block."""
        pause = threading.Event()
        for _ in range(200):
            receipt = self.service.context.rpc.get_receipt(tx)
            if receipt is not None:
                return receipt.status
            pause.wait(0.1)
        raise AssertionError("the transaction is in no block")

    def do(self, act: str, signer: Account, /, *, token: str | None = None, **body: object) -> Any:
        made = self.prepare(act, signer, token=token, **body)
        self.send(signer, made["transactions"])
        return made
