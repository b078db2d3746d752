"""What an account has to do with the market, as counts."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.domain.types import Address, State
from steelyard.indexer.database import Reader
from steelyard.query import check
from steelyard.query.answers import At
from steelyard.query.place import read_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an account owns, sells and holds, as far as the index is.

    Attributes:
        account: who.
        owns: assets that it owns now.
        manages: assets of which it holds a role now.
        offers: its offers that can be bought under (apart from places).
        sold: purchases under its offers that were not refunded.
        open_sales: purchases under its offers whose key is not delivered.
        holds: licences that it holds and that are valid at the newest block.
        requests: its open key requests.
        at: how far the index is.
    """

    account: Address
    owns: int
    manages: int
    offers: int
    sold: int
    open_sales: int
    holds: int
    requests: int
    at: At


def account(reader: Reader, address: Address) -> Account:
    """Return an account's counts; zeros for one that the market has never seen.

    Raises:
        NotFoundError: the index is empty.
    """
    check.address(address, "account")
    at = read_at(reader)
    sold = "SELECT COUNT(*) FROM offers o JOIN purchases p ON p.offer = o.id WHERE o.seller = ? AND p.state"
    valid = (int(State.DELIVERED), int(State.SETTLED))

    def count(sql: str, *params: object) -> int:
        row = reader.row(sql, params)
        return 0 if row is None else int(row[0])

    return Account(
        account=address,
        owns=count("SELECT COUNT(*) FROM assets WHERE owner = ?", address),
        manages=count(
            "SELECT COUNT(*) FROM (SELECT DISTINCT r.asset FROM roles r JOIN assets a ON a.id = r.asset"
            " AND a.epoch = r.epoch WHERE r.account = ?) AS m",
            address,
        ),
        offers=count(
            "SELECT COUNT(*) FROM offers o JOIN assets a ON a.id = o.asset WHERE o.seller = ?"
            " AND o.closed_at IS NULL AND o.epoch = a.epoch",
            address,
        ),
        sold=count(f"{sold} <> ?", address, int(State.REFUNDED)),
        open_sales=count(f"{sold} = ?", address, int(State.PAID)),
        holds=count(
            'SELECT COUNT(*) FROM purchases WHERE holder = ? AND state IN (?, ?) AND ("until" = 0 OR "until" >= ?)',
            *(address, *valid, at.time),
        ),
        requests=count("SELECT COUNT(*) FROM requests WHERE holder = ? AND state = 1", address),
        at=at,
    )
