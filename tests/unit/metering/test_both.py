"""Both parties together: messages lost, doubled and re-ordered, either side killed at any step, and either side hostile.

The rule: units answered <= units co-signed + those of the calls in flight, of which there are at most w; and nothing is co-signed that was
not answered to the payer. Ghosts count what really happened, apart from what either side wrote down.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steelyard.domain.hash import sha256
from steelyard.domain.metering import Receipt, Voucher
from steelyard.errors import ProofError, RefusedError
from steelyard.metering.agreement import Signed
from steelyard.metering.payee import PayeeBooks
from steelyard.metering.payer import PayerBooks
from tests.unit.metering.parties import PAYEE, SIGNER, STRANGER, agreement


@dataclass(frozen=True)
class Asked:
    call: int
    body: bytes
    units: int
    signed: Signed


@dataclass(frozen=True)
class Answered:
    call: int
    body: bytes
    receipt: Receipt
    signature: bytes


@dataclass
class Disk:
    """What the payee has on the disk."""

    books: PayeeBooks
    rows: list[Answered]
    totals: list[tuple[int, bytes]]


def answer_to(body: bytes) -> bytes:
    return b"answer to " + body


def units_of(body: bytes) -> int:
    return body[0]


LIES_OF_A_PAYER = ("", "", "channel", "amount", "more", "fewer", "later", "root", "key", "unsigned")
LIES_OF_A_PAYEE = (
    *(
        "",
        "",
        "",
        "again",
        "zero",
        "far",
        "channel",
        "version",
        "more",
        "fewer",
        "request",
        "response",
        "key",
    ),
)


class Channel(RuleBasedStateMachine):
    """One channel, two parties and a bad network."""

    payee_is_honest = True

    @initialize(w=st.integers(1, 4), deposit=st.sampled_from([0, 60, 200, 900]))
    def start(self, w: int, deposit: int) -> None:
        self.agreement = agreement(in_flight=w)
        self.w, self.deposit, self.claimed = w, deposit, 0
        self.disk = Disk(PayeeBooks(self.agreement), [], [])
        self.payer = PayerBooks(self.agreement)
        self.saved = copy.deepcopy(self.payer)
        self.bodies: dict[int, bytes] = {}
        self.to_payee: list[Asked] = []
        self.to_payer: list[Answered] = []
        self.left: dict[int, int] = {}  # ghost: units of the answers that left, by call
        self.got: dict[int, int] = {}  # ghost: units of the true answers that came, by call
        self.sent: list[Signed] = []

    # -- the payer ---------------------------------------------------------------------------------------------

    @rule(units=st.integers(1, 5), fresh=st.booleans(), lost=st.booleans())
    def call(self, units: int, fresh: bool, lost: bool) -> None:
        body = bytes([units]) + len(self.bodies).to_bytes(4, "big")
        made = self.payer.begin(sha256(body), units)
        self.bodies[made.call] = body
        signed = self.payer.voucher(SIGNER, fresh=fresh)
        self.saved = copy.deepcopy(self.payer)
        self.sent.append(signed)
        if not lost:
            self.to_payee.append(Asked(made.call, body, units, signed))

    @precondition(lambda self: self.payer.made)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(sorted(self.payer.made)))
        body = self.bodies[call]
        self.to_payee.append(Asked(call, body, units_of(body), self.payer.voucher(SIGNER)))
        self.sent.append(self.payer.best)

    @precondition(lambda self: self.to_payer)
    @rule(data=st.data(), twice=st.booleans(), killed=st.booleans())
    def answer_comes(self, data: st.DataObject, twice: bool, killed: bool) -> None:
        place = data.draw(st.integers(0, len(self.to_payer) - 1))
        found = self.to_payer[place] if twice else self.to_payer.pop(place)
        self.read(found)
        if killed:
            self.payer = copy.deepcopy(self.saved)
        else:
            self.saved = copy.deepcopy(self.payer)

    def read(self, found: Answered) -> None:
        known = found.call in self.payer.made
        true = found.body == answer_to(self.bodies[found.call])
        try:
            self.payer.accept(found.call, found.receipt, found.signature, response=sha256(found.body))
        except RefusedError:
            assert not known
            return
        except ProofError:
            assert not self.payee_is_honest
            return
        assert known
        if true:
            self.got[found.call] = units_of(self.bodies[found.call])

    @rule()
    def payer_is_killed(self) -> None:
        self.payer = copy.deepcopy(self.saved)

    @rule()
    def payer_resumes(self) -> None:
        """Gets what the payee still has: receipts, and answers that no voucher covers."""
        for row in self.disk.rows:
            if row.call in self.payer.made:
                self.read(row)
        self.saved = copy.deepcopy(self.payer)

    @rule()
    def voucher_alone(self) -> None:
        signed = self.payer.voucher(SIGNER)
        self.sent.append(signed)
        self.hear(signed)

    # -- the payee ---------------------------------------------------------------------------------------------

    def hear(self, signed: Signed) -> None:
        books = self.disk.books
        before = books.best
        try:
            if books.judge(signed, self.totals):
                books.take(signed)
        except ProofError:
            assert signed not in self.sent or not self.payee_is_honest
            assert books.best is before
            raise
        except RefusedError:
            assert not self.payee_is_honest, "an honest payee knows every receipt that he gave"

    def totals(self, sequence: int) -> tuple[int, bytes] | None:
        return self.disk.totals[sequence - 1] if 1 <= sequence <= len(self.disk.totals) else None

    @precondition(lambda self: self.to_payee)
    @rule(data=st.data(), twice=st.booleans(), killed=st.sampled_from(["no", "before", "after"]))
    def call_comes(self, data: st.DataObject, twice: bool, killed: str) -> None:
        place = data.draw(st.integers(0, len(self.to_payee) - 1))
        asked = self.to_payee[place] if twice else self.to_payee.pop(place)
        if killed == "before":
            return
        self.hear(asked.signed)
        done = [row for row in self.disk.rows if row.call == asked.call]
        if done:
            if done[0].receipt.request == sha256(asked.body) and killed == "no":
                self.to_payer.append(done[0])
            return
        body = answer_to(asked.body)
        books = self.disk.books
        try:
            receipt, digest = books.serve(
                asked.units, request=sha256(asked.body), response=sha256(body), deposit=self.deposit
            )
        except RefusedError:
            too_many = books.open >= self.w
            too_much = (books.units + asked.units) * 7 > self.deposit
            assert too_many or too_much
            return
        row = Answered(asked.call, body, receipt, PAYEE.sign(digest))
        self.disk.rows.append(row)
        self.disk.totals.append((books.units, books.receipts.root()))
        if killed == "no":
            self.left[asked.call] = asked.units
            self.to_payer.append(row)

    @rule()
    def claims(self) -> None:
        self.claimed += self.disk.books.due(deposit=self.deposit, claimed=self.claimed)

    # -- the network ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.to_payee)
    @rule(data=st.data())
    def call_is_lost(self, data: st.DataObject) -> None:
        self.to_payee.pop(data.draw(st.integers(0, len(self.to_payee) - 1)))

    @precondition(lambda self: self.to_payer)
    @rule(data=st.data())
    def answer_is_lost(self, data: st.DataObject) -> None:
        self.to_payer.pop(data.draw(st.integers(0, len(self.to_payer) - 1)))

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def nobody_loses_more_than_w_calls(self) -> None:
        if not hasattr(self, "disk"):
            return
        books = self.disk.books
        voucher = books.best.voucher
        assert 0 <= books.open <= self.w
        in_flight = sum(row.receipt.units for row in self.disk.rows[voucher.sequence :])
        assert sum(self.left.values()) <= voucher.units + in_flight == books.units
        assert books.units * 7 <= self.deposit
        assert self.claimed <= voucher.amount

    @invariant()
    def nothing_is_signed_that_was_not_answered(self) -> None:
        if hasattr(self, "payer"):
            signed = self.payer.best.voucher
            assert signed.units <= sum(self.got.values())
            assert signed.amount == signed.units * 7

    @invariant()
    def both_have_the_same_tree(self) -> None:
        if hasattr(self, "payer") and self.payee_is_honest and self.payer.receipts.count:
            units, root = self.disk.totals[self.payer.receipts.count - 1]
            assert (self.payer.units, self.payer.receipts.root()) == (units, root)


class HostilePayer(Channel):
    """The payer signs what he likes, with whatever key."""

    @rule(data=st.data(), lie=st.sampled_from(LIES_OF_A_PAYER))
    def lies(self, data: st.DataObject, lie: str) -> None:
        """A voucher that is true but for one thing; or wholly true, though perhaps an old one."""
        sequence = data.draw(st.integers(0, len(self.disk.totals)))
        units, root = self.totals(sequence) or (0, bytes(32))
        voucher = Voucher(
            channel=sha256(b"x") if lie == "channel" else self.agreement.channel,
            amount=units * 7 + (lie == "amount"),
            units=units + {"more": 1, "fewer": -min(units, 1)}.get(lie, 0),
            sequence=sequence + (lie == "later"),
            root=sha256(b"x") if lie == "root" else root,
        )
        if lie in ("more", "fewer"):
            voucher = replace(voucher, amount=voucher.units * 7)
        key = STRANGER if lie == "key" else SIGNER
        signature = key.sign(voucher.digest(self.agreement.place.separator))
        if lie == "unsigned" or (lie == "" and sequence == 0):
            signature = bytes(65)
        before = self.disk.books.best
        try:
            higher = self.disk.books.judge(Signed(voucher=voucher, signature=signature), self.totals)
        except (ProofError, RefusedError):
            assert lie
            return
        assert not lie or (sequence == 0 and lie in ("fewer", "unsigned"))
        assert higher == (sequence > before.voucher.sequence)
        self.disk.books.take(Signed(voucher=voucher, signature=signature))
        assert self.disk.books.best.voucher.sequence == max(sequence, before.voucher.sequence)

    @invariant()
    def nothing_is_signed_that_was_not_answered(self) -> None:
        """He may sign what he likes."""


class HostilePayee(Channel):
    """The payee answers what he likes; what the payer signs is still only what he got."""

    payee_is_honest = False

    def hear(self, signed: Signed) -> None:
        try:
            super().hear(signed)
        except ProofError:
            pass

    @precondition(lambda self: self.payer.made)
    @rule(data=st.data(), lie=st.sampled_from(LIES_OF_A_PAYEE))
    def lies(self, data: st.DataObject, lie: str) -> None:
        """A receipt for the next place that is true but for one thing; or wholly true."""
        call = data.draw(st.sampled_from(sorted(self.payer.made)))
        body = self.bodies[call]
        receipts = self.payer.receipts
        places = {"again": receipts.count, "zero": 0, "far": receipts.count + self.w + 1}
        receipt = Receipt(
            channel=sha256(b"x") if lie == "channel" else self.agreement.channel,
            sequence=places.get(lie, receipts.count + data.draw(st.integers(1, self.w))),
            version=sha256(b"x") if lie == "version" else self.agreement.version,
            units=units_of(body) + {"more": 1, "fewer": -1}.get(lie, 0),
            request=sha256(b"x" if lie == "request" else body),
            response=sha256(b"x" if lie == "response" else answer_to(body)),
        )
        signature = (STRANGER if lie == "key" else PAYEE).sign(receipt.digest(self.agreement.place.separator))
        before = (receipts.count, receipts.root(), dict(self.payer.later))
        twice = receipt.sequence in self.payer.later
        try:
            self.payer.accept(call, receipt, signature, response=sha256(answer_to(body)))
        except (ProofError, RefusedError):
            assert lie or twice
            assert (receipts.count, receipts.root(), self.payer.later) == before
            assert call in self.payer.made
            return
        assert not lie and not twice
        self.got[call] = units_of(body)
        self.saved = copy.deepcopy(self.payer)

    def read(self, found: Answered) -> None:
        super().read(found)
        if found.call not in self.payer.made:
            self.got.setdefault(found.call, units_of(self.bodies[found.call]))

    @invariant()
    def nobody_loses_more_than_w_calls(self) -> None:
        """He may lose what he likes."""


LIMITS = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBothHonest = Channel.TestCase
TestBothHonest.settings = LIMITS
TestHostilePayer = HostilePayer.TestCase
TestHostilePayer.settings = LIMITS
TestHostilePayee = HostilePayee.TestCase
TestHostilePayee.settings = LIMITS


def test_the_rule_is_reached() -> None:
    """A run by hand in which w is reached, lifted by a voucher, and everything is claimed."""
    machine = Channel()
    machine.start(w=2, deposit=900)
    for _ in range(3):
        machine.call(units=2, fresh=True, lost=False)
    for asked in list(machine.to_payee):
        books = machine.disk.books
        try:
            receipt, digest = books.serve(
                asked.units, request=sha256(asked.body), response=sha256(answer_to(asked.body)), deposit=900
            )
        except RefusedError:
            assert books.open == 2
            break
        machine.disk.totals.append((books.units, books.receipts.root()))
        machine.read(Answered(asked.call, answer_to(asked.body), receipt, PAYEE.sign(digest)))
    else:
        raise AssertionError("a third call was let in")
    machine.voucher_alone()
    assert machine.disk.books.open == 0
    machine.disk.books.admit(1, deposit=900)
    machine.claims()
    assert machine.claimed == 4 * 7
    replaced = replace(machine.payer.best.voucher, units=5)
    assert replaced != machine.payer.best.voucher
