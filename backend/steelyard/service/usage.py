"""A hosted model that is used like a local one: numpy in, numpy out, paid by the call (docs/gateway.md).

Everything that a gateway says is checked: the offer against the chain, each receipt against the very bodies, its root against the
account's own books. What it takes to go on after a crash is in those books, on the gateway and on the chain.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from steelyard.crypto.metering import Signer
from steelyard.domain import mmr
from steelyard.domain.metering import ROW, ChannelId, ChannelState, Receipt, amount_of
from steelyard.domain.records import AssetState
from steelyard.errors import (
    InputError,
    ProofError,
    RefusedError,
    UnavailableError,
    UnsafeError,
    VerificationError,
)
from steelyard.metering.agreement import Agreement, Signed
from steelyard.metering.payer import Made, PayerBooks
from steelyard.metering.wire import read_receipt
from steelyard.service import metered
from steelyard.service.budget import Budget, Price
from steelyard.service.context import Context, Mined
from steelyard.service.naming import asset_name, find_version
from steelyard.service.stages import require_on_sale
from steelyard.service.usage_books import FILE, UsageBooks
from steelyard.service.usage_check import PAGE, check_offer, load_tensors, read_row, read_voucher
from steelyard.service.usage_http import TRIES, Answer, GatewayClient, GatewayError, Seen, payment_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY: Final = 86_400


class Usage:
    """One hosted version and the channel that pays for it. Safe to use from several threads; close it, or use ``with``.

    Attributes:
        ref: the version, as people name it.
        offer: that it is served under.
    """

    def __init__(
        self,
        context: Context,
        ref: str,
        *,
        url: str,
        budget: Budget,
        model: str | None = None,
        trust_gateway: bool = False,
        timeout: float = 60.0,
    ) -> None:
        """Ask the gateway for its offer, check it, and look for a channel that is open; none is opened yet.

        Raises:
            VerificationError: the offer is not what the chain says.
            RefusedError: it costs more than the budget allows.
            UnavailableError: gateway or chain do not answer.
        """
        asset, version = find_version(context, ref)
        if version.flagged:
            raise UnsafeError(f"{ref} was proved false: do not pay for it")
        require_on_sale(ref, version)
        self.ref = asset_name(context, asset, version.number)
        self._context, self._trust = context, trust_gateway
        self._client = GatewayClient(url, timeout=timeout)
        self._name, self._number = model or asset.label, version.number
        served = self._client.model(self._name, version.number)
        now = context.now(context.follow(asset.id).head)
        self.offer, self._payee = check_offer(asset, version.id, served.steelyard, now=now)
        self._batched = served.steelyard.batched
        self.limit(budget)
        self._inputs = [item.name for item in served.inputs]
        self._kept = UsageBooks(context.home / FILE)
        self._lock = threading.Condition()
        self._running = 0
        self._refused: set[int] = set()
        self._books: PayerBooks | None = None
        self._signer: Signer | None = None
        self._deposit = 0
        self._find(asset)

    # -- calling -------------------------------------------------------------------------------------------------

    def __call__(
        self, inputs: NDArray[Any] | Mapping[str, NDArray[Any]], *, outputs: Sequence[str] = ()
    ) -> dict[str, NDArray[Any]]:
        """Run the model and return its outputs by name.

        Args:
            inputs: arrays by name; of a model with one input the array alone.
            outputs: names of those wanted; all if empty.

        Raises:
            RefusedError: a budget is used up, or the gateway refuses; nothing was charged.
            VerificationError: the gateway's receipt or answer is false; nothing more is co-signed.
            UnavailableError: the gateway does not answer; the next call or `resume` asks again.
            InputError: the arrays do not fit.
        """
        tensors = load_tensors()
        body, header, units = self._request(inputs, outputs)
        self._check_day(units)
        books = self._channel(units)
        with self._lock:
            while self._running >= self.offer.terms.in_flight:
                self._lock.wait()
            self._running += 1
            now = int(self._context.settings.clock() * 1e6)
            made = books.begin(sha256(body).digest(), units, hint=now)
            signed = books.voucher(self._own_signer, fresh=self._running == 1)
            self._kept.begun(books, made)
        try:
            answer = self._send(books, made, signed, body, header)
        except GatewayError:
            # It may still be receipted, by a gateway that lies, but nothing is set aside for it.
            self._refused.add(made.call)
            raise
        finally:
            with self._lock:
                self._running -= 1
                self._lock.notify()
        found: dict[str, NDArray[Any]] = tensors.read_answer(answer.body, header=answer.header)
        return found

    def price(
        self, inputs: NDArray[Any] | Mapping[str, NDArray[Any]], *, outputs: Sequence[str] = ()
    ) -> Price:
        """Return what a call would cost now; nothing is sent to the gateway, and no transaction."""
        _, _, units = self._request(inputs, outputs)
        self._check_day(units)
        amount = amount_of(units, self.offer.terms.price)
        missing = self._missing(units)
        if not missing:
            return Price(units=units, amount=amount, deposit=0, gas=0, fee_wei=0)
        dry = self._context.dry_run()
        if self._books is None:
            _, mined = metered.open_channel(dry, self.offer.asset, self.offer.terms, amount=missing)
        else:
            mined = metered.top_up(dry, self._books.agreement, amount=missing)
        return Price(units=units, amount=amount, deposit=missing, gas=mined.gas_used, fee_wei=mined.fee_wei)

    def limit(self, budget: Budget) -> None:
        """Set another budget.

        Raises:
            RefusedError: a unit costs more than it allows.
        """
        if budget.price is not None and self.offer.terms.price > budget.price:
            raise RefusedError(f"a unit costs {self.offer.terms.price}, and the budget allows {budget.price}")
        self._budget = budget

    # -- where it stands -----------------------------------------------------------------------------------------

    @property
    def channel(self) -> ChannelId | None:
        """The channel, or None while none is open."""
        return None if self._books is None else self._books.agreement.channel

    @property
    def payee_key(self) -> bytes:
        """Public key of the payee, compressed."""
        return self._payee

    def context_of_channel(self) -> tuple[Agreement, Signer]:
        """Return the channel's agreement and its signer, for clients of the protocol that make the header themselves.

        Raises:
            RefusedError: there is no channel.
        """
        return self._need().agreement, self._own_signer

    @property
    def units(self) -> int:
        """Units that were answered in this channel and believed."""
        return 0 if self._books is None else self._books.units + sum(n for _, n in self._books.later.values())

    @property
    def spent(self) -> int:
        """What they cost, smallest units."""
        return self.units * self.offer.terms.price

    @property
    def left(self) -> int:
        """What is left of the deposit, smallest units."""
        return max(0, self._deposit - self.spent)

    def receipts(self) -> list[tuple[Receipt, bytes]]:
        """Return all receipts of this channel with the payee's signatures, in order."""
        return [] if self._books is None else self._kept.receipts(self._books.agreement.channel)

    # -- resuming and ending -------------------------------------------------------------------------------------

    def resume(self) -> int:
        """Take what the gateway has and these books lack, checked; returns how many receipts came.

        Raises:
            UnsafeError: the gateway has receipts of calls that these books do not know; see ``trust_gateway``.
            VerificationError: something in it is false.
        """
        if self._books is None:
            return 0
        with self._lock:
            return self._resume(self._books)

    def settle(self) -> Signed:
        """Co-sign everything that was answered, and hand the voucher over.

        Raises:
            RefusedError: there is no channel, or the gateway refuses.
        """
        books = self._need()
        with self._lock:
            signed = books.voucher(self._own_signer)
            self._kept.signed(books)
        if signed.voucher.sequence:
            self._client.voucher(books.agreement, self._own_signer, self._payee, signed)
        return signed

    def close_channel(self) -> Mined:
        """Hand the last voucher over and begin to close the channel: what is not spent comes back.

        The payee closes it at once if he is there; else it can be finished when the window has passed
        (``Market.finish_channel``).
        """
        books = self._need()
        try:
            self.settle()
        except (UnavailableError, GatewayError):
            pass  # he has what he has; the window is his time to claim it
        mined = metered.start_closing(self._context, books.agreement)
        with self._lock:
            self._books = None
        return mined

    def close(self) -> None:
        """Let go of connections and books; the channel stays open."""
        self._client.close()
        self._kept.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go; the channel stays open."""
        self.close()

    # -- parts: the channel --------------------------------------------------------------------------------------

    @property
    def _own_signer(self) -> Signer:
        assert self._signer is not None
        return self._signer

    def _need(self) -> PayerBooks:
        if self._books is None:
            raise RefusedError("no channel is open")
        return self._books

    def _find(self, asset: AssetState) -> None:
        """Look for an open channel of the account under this offer, the newest first."""
        if not self._context.has_account:
            return
        own = (self.offer.id, self._context.account.address, ChannelState.OPEN)
        for record in reversed(list(asset.channels.values())):
            if (record.offer, record.payer, record.state) != own:
                continue
            info = metered.channel_info(self._context, asset, record)
            agreement = info.agreement
            signer = metered.signer_of(self._context, agreement.nonce)
            if signer.address != agreement.signer:
                continue  # of another seed
            known = self._kept.load(agreement)
            self._kept.add(agreement, url=self._client.url)
            self._use(agreement, signer, known or PayerBooks(agreement), deposit=info.deposit)
            books = self._need()
            self._resume(books)
            if books.units * agreement.terms.price < info.claimed:
                raise VerificationError(
                    f"the chain paid {info.claimed} from channel 0x{agreement.channel.hex()}, and the books know of "
                    f"{books.units} units: its signer's key is used elsewhere"
                )
            return

    def _use(self, agreement: Agreement, signer: Signer, books: PayerBooks, *, deposit: int) -> None:
        self._signer, self._deposit, self._books = signer, deposit, books

    def _missing(self, units: int) -> int:
        """Return what must be paid in before a call of so many units; raises RefusedError above the budget."""
        budget, price = self._budget, self.offer.terms.price
        books = self._books
        used = 0
        if books is not None:
            used = self.units + sum(
                made.units for made in books.made.values() if made.call not in self._refused
            )
        need = amount_of(used + units, price) - self._deposit
        if need <= 0:
            return 0
        amount = max(need, budget.deposit)
        most = budget.deposit if budget.total is None else budget.total
        if self._deposit + amount > most:
            amount = most - self._deposit
        if amount < need:
            raise RefusedError(
                f"this call needs {need} more in the channel, and the budget allows {max(0, most - self._deposit)} more"
            )
        return amount

    def _channel(self, units: int) -> PayerBooks:
        with self._lock:
            missing = self._missing(units)
            if self._books is None:
                agreement, _ = metered.open_channel(
                    self._context, self.offer.asset, self.offer.terms, amount=missing
                )
                self._kept.add(agreement, url=self._client.url)
                signer = metered.signer_of(self._context, agreement.nonce)
                self._use(agreement, signer, PayerBooks(agreement), deposit=missing)
            elif missing:
                metered.top_up(self._context, self._books.agreement, amount=missing)
                self._deposit += missing
            return self._need()

    def _check_day(self, units: int) -> None:
        most = self._budget.per_day
        if most is None:
            return
        day = int(self._context.settings.clock()) // DAY
        spent = self._kept.spent(self.offer.id, day=day)
        amount = amount_of(units, self.offer.terms.price)
        if spent + amount > most:
            raise RefusedError(
                f"today {spent} was spent, this call costs {amount}, and the budget allows {most} a day"
            )

    # -- parts: one call -----------------------------------------------------------------------------------------

    def _request(
        self, inputs: NDArray[Any] | Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> tuple[bytes, int, int]:
        tensors = load_tensors()
        import numpy as np

        if not isinstance(inputs, Mapping):
            if len(self._inputs) != 1:
                raise InputError(f"this model takes several inputs, by name: {', '.join(self._inputs)}")
            inputs = {self._inputs[0]: inputs}
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        body, header = tensors.write_request(arrays, outputs=outputs)
        units = 1
        if self.offer.terms.unit_name == ROW and self._batched:
            sizes = {value.shape[:1] for value in arrays.values()}
            if len(sizes) != 1 or sizes == {()}:
                raise InputError("the inputs have different numbers of rows")
            units = int(next(iter(sizes))[0])
        return body, header, units

    def _send(self, books: PayerBooks, made: Made, signed: Signed, body: bytes, header: int) -> Answer:
        """Send a call until it is answered; it has one number, so it is answered once."""
        payment = self._payment(books, signed, made)
        for left in reversed(range(TRIES)):
            try:
                answer = self._client.infer(self._name, self._number, body, header, payment)
            except UnavailableError:
                if not left:
                    raise
            except GatewayError as exc:
                if not left or not self._again(books, exc):
                    raise
                with self._lock:
                    signed = books.voucher(self._own_signer)
                    self._kept.signed(books)
                payment = self._payment(books, signed, made)
            else:
                self._believe(books, made.call, answer)
                return answer
        raise AssertionError("not reached")

    def _again(self, books: PayerBooks, exc: GatewayError) -> bool:
        """Do what lets a refused call in, if there is something."""
        if exc.code in ("channel-unknown", "deposit-exhausted"):
            # Paid, and perhaps not yet as deep as the gateway wants it.
            threading.Event().wait(self._context.settings.poll)
            return True
        if exc.code == "in-flight":
            with self._lock:
                self._resume(books)
            return True
        if exc.code == "channel-unknown-receipts":
            raise UnsafeError(
                f"the gateway lost receipts of channel 0x{books.agreement.channel.hex()}: close the channel"
            ) from exc
        return False

    def _payment(self, books: PayerBooks, signed: Signed, made: Made) -> str:
        return payment_header(books.agreement, self._own_signer, self._payee, signed, call=made.call)

    def _believe(self, books: PayerBooks, call: int, answer: Answer) -> None:
        if answer.receipt is None:
            raise VerificationError("the gateway's answer has no receipt")
        agreement = books.agreement
        try:
            receipt, signature = read_receipt(
                answer.receipt, channel=agreement.channel, version=agreement.version
            )
        except InputError as exc:
            raise VerificationError(f"the gateway's receipt is malformed: {exc}") from exc
        with self._lock:
            if call not in books.made:
                return  # it came by resuming meanwhile
            self._accept(books, call, receipt, signature, sha256(answer.body).digest())

    def _accept(
        self, books: PayerBooks, call: int, receipt: Receipt, signature: bytes, response: bytes
    ) -> None:
        digest = books.accept(call, receipt, signature, response=response)
        day = int(self._context.settings.clock()) // DAY
        self._kept.accepted(books, receipt, signature, digest, call=call, day=day)

    # -- parts: resuming -----------------------------------------------------------------------------------------

    def _resume(self, books: PayerBooks) -> int:
        agreement, signer, came = books.agreement, self._own_signer, 0
        while True:
            found = self._client.channel(agreement, signer, self._payee, after=books.receipts.count)
            if not books.receipts.count and not books.made and found.receipts:
                came += self._restore(books, found)
            rows = [read_row(agreement, item) for item in found.receipts]
            fresh = [
                row
                for row in rows
                if row[1].sequence > books.receipts.count and row[1].sequence not in books.later
            ]
            for call, receipt, signature in fresh:
                self._take(books, call, receipt, signature)
            came += len(fresh)
            if not fresh or len(rows) < PAGE:
                return came

    def _take(self, books: PayerBooks, call: int, receipt: Receipt, signature: bytes) -> None:
        """Believe a receipt that came without its answer, after having got the answer."""
        agreement = books.agreement
        if call in books.made:
            answer = self._client.answer(agreement, self._own_signer, self._payee, call)
            self._accept(books, call, receipt, signature, sha256(answer.body).digest())
            return
        if not self._trust:
            raise UnsafeError(
                f"the gateway has receipt {receipt.sequence} for call {call}, which is not in the books of this account: if they "
                "were lost, go on with trust_gateway; if not, close the channel"
            )
        made = Made(call=call, request=receipt.request, units=receipt.units)
        books.made[call] = made
        self._kept.begun(books, made)
        self._accept(books, call, receipt, signature, receipt.response)

    def _restore(self, books: PayerBooks, found: Seen) -> int:
        """Take what the own signer co-signed before the books were lost: its signature says that it was believed."""
        agreement = books.agreement
        best = read_voucher(agreement, found.voucher)
        if not best.voucher.sequence:
            return 0
        agreement.check_voucher(best.voucher, best.signature)
        rows: list[tuple[int, Receipt, bytes]] = []
        while len(rows) < best.voucher.sequence:
            page = (
                found
                if not rows
                else self._client.channel(agreement, self._own_signer, self._payee, after=len(rows))
            )
            part = [read_row(agreement, item) for item in page.receipts]
            if not part or part[0][1].sequence != len(rows) + 1:
                raise VerificationError("the gateway does not have the receipts that were co-signed")
            rows.extend(part)
        rows = rows[: best.voucher.sequence]
        digests = [agreement.receipt_digest(receipt, signature) for _, receipt, signature in rows]
        units = sum(receipt.units for _, receipt, _ in rows)
        if (mmr.root(digests), units) != (best.voucher.root, best.voucher.units):
            raise ProofError("the gateway's receipts are not those that were co-signed")
        for (_, receipt, signature), digest in zip(rows, digests, strict=True):
            books.receipts.append(digest)
            books.units += receipt.units
            self._kept.accepted(books, receipt, signature, digest, call=None, day=0)
        books.best = best
        self._kept.signed(books)
        return len(rows)
