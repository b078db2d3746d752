"""``steelyard account``: create, import, export, list and show accounts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Group, with_session
from steelyard.cli.output import pairs, table

_FILE = click.Path(path_type=Path)
_NAME = click.argument("name", required=False)


@click.group("account", cls=Group)
def account_command() -> None:
    """Create and keep accounts.

    An account is an encrypted key file (Web3 Secret Storage, version 3) below home, which cast, geth and
    brownie read too. Its name can stand in references. Secrets are never printed, and never given on the
    command line.
    """


@account_command.command("create")
@click.argument("name")
@with_session
def create(session: Session, name: str) -> None:
    """Make a new account. Back its file up: nobody can restore it."""
    address = session.accounts.add(name)
    _tell(session, name, address)


@account_command.command("list")
@with_session
def list_all(session: Session) -> None:
    """List the accounts of this machine."""
    from steelyard.chain.hexdata import checksum_address

    accounts = session.accounts
    found = [(name, accounts.address(name)) for name in accounts.names()]
    chosen = session.config.account or (found[0][0] if len(found) == 1 else "")
    rows = [(name, checksum_address(address), "chosen" if name == chosen else "") for name, address in found]
    session.out.result(
        [{"name": name, "address": address, "chosen": name == chosen} for name, address in found],
        table(("NAME", "ADDRESS", ""), rows),
    )
    if not found:
        session.out.say("No accounts yet: `steelyard account create NAME`.")


@account_command.command("show")
@_NAME
@with_session
def show(session: Session, name: str | None) -> None:
    """Show name, address and file of an account."""
    name = name or session.accounts.chosen()
    _tell(session, name, session.accounts.address(name))


@account_command.command("import")
@click.argument("name")
@click.argument("file", type=_FILE)
@click.option("--key", "is_key", is_flag=True, help="FILE holds a private key: 64 hex digits; '-' is stdin.")
@click.option("--old-password-file", type=_FILE, help="Password of the file imported, if another.")
@with_session
def import_file(
    session: Session, name: str, file: Path, is_key: bool, old_password_file: Path | None
) -> None:
    """Take over a key file of cast, geth or brownie, or a private key."""
    from steelyard.cli.accounts import ask_password, read_key, read_password
    from steelyard.crypto import keystore

    if is_key:
        key = read_key(file)
    else:
        given = old_password_file or session.config.password_file
        password = read_password(given) if given else ask_password(f"Password of {file}", again=False)
        key = keystore.load(file, password=password)
    _tell(session, name, session.accounts.add(name, key))


@account_command.command("export")
@_NAME
@click.option("--to", "target", type=_FILE, required=True, help="File to write; made with mode 0600.")
@click.option("--seed", is_flag=True, help="Only the seed, which derives keys and cannot spend.")
@with_session
def export(session: Session, name: str | None, target: Path, seed: bool) -> None:
    """Write an account's encrypted key file, or its seed.

    The seed is written as 64 hexadecimal digits, not encrypted: who has it can open what the account sells
    and has bought.
    """
    from steelyard.service.files import write_private

    accounts = session.accounts
    name = name or accounts.chosen()
    account = accounts.unlock(name)
    if seed:
        data = account.seed.reveal().hex().encode() + b"\n"
    else:
        data = json.dumps(json.loads(accounts.path(name).read_bytes())).encode() + b"\n"
    write_private(target.absolute(), data)
    what = "seed" if seed else "keystore"
    session.out.result({"name": name, "what": what, "path": target.absolute()}, [str(target.absolute())])
    if seed:
        session.out.warn("the seed is not encrypted; keep the file where only the key service can read it")


def _tell(session: Session, name: str, address: bytes) -> None:
    from steelyard.chain.hexdata import checksum_address

    path = session.accounts.path(name)
    session.out.result(
        {"name": name, "address": address, "path": path},
        pairs([("account", name), ("address", checksum_address(address)), ("file", str(path))]),
    )
