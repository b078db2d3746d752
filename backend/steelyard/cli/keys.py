"""``steelyard keys``: hand an asset's version keys over, take them over, and see which are here."""

from __future__ import annotations

from pathlib import Path

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Group, with_session
from steelyard.cli.output import pairs, table

_FILE = click.Path(path_type=Path)
_PASSWORD = click.option(
    "--key-password-file",
    "key_password_file",  # a name of its own: `password_file` is the common option
    type=_FILE,
    metavar="FILE",
    help="Password of the key file; else it is asked for.",
)


@click.group("keys", cls=Group)
def keys_command() -> None:
    """Hand an asset's keys over, or take them over.

    A transfer of an asset moves no key. The former owner exports the keys of its versions to a file under a
    password of its own, and the new owner imports it: then `deliver` and `serve` use them. Keys are never
    printed.
    """


@keys_command.command("export")
@click.argument("ref")
@click.option("--to", "target", type=_FILE, required=True, help="File to write; made with mode 0600.")
@_PASSWORD
@with_session
def export(session: Session, ref: str, target: Path, key_password_file: Path | None) -> None:
    """Write an asset's version keys to a file.

    Of every version, or of the one in REF, such as digits@2. Who has the file and its password can deliver
    these versions and open their content, for ever; he can neither spend nor publish. Give the password
    another way than the file. It has at least 12 characters.
    """
    market = session.market
    done = market.export_keys(
        ref, target, password=_password(key_password_file, "New password of the key file", again=True)
    )
    session.out.result(
        done,
        [
            *pairs([("asset", done.ref), ("versions", _numbers(done.versions))]),
            str(done.path),
        ],
    )
    if done.missing:
        session.out.warn(
            f"not in the file: version {_numbers(done.missing)}, whose key this account does not have"
        )
    session.out.warn("who has this file and its password has these keys for ever; so do you, after a sale")


@keys_command.command("import")
@click.argument("file", type=_FILE)
@_PASSWORD
@with_session
def import_file(session: Session, file: Path, key_password_file: Path | None) -> None:
    """Take over version keys from a file.

    Each is checked against the chain, and kept below home, encrypted for this account. The seed does not give
    these keys: keep the file as a backup.
    """
    market = session.market
    done = market.import_keys(file, password=_password(key_password_file, f"Password of {file}", again=False))
    session.out.result(done, pairs([("asset", done.ref), ("versions", _numbers(done.versions))]))


@keys_command.command("list")
@click.argument("ref", required=False)
@with_session
def list_all(session: Session, ref: str | None) -> None:
    """List versions, and whether their key is here.

    Of one asset, or of all that you have a hand in. A key is imported, follows from the seed, or is not here
    (none); of a damaged one the import must be done again; unknown is what only the store could tell now.
    """
    found = session.market.version_keys(ref)
    session.out.result(found, table(("VERSION", "KEY"), [(item.ref, item.source) for item in found]))
    if not found:
        session.out.say("No versions.")


def _password(file: Path | None, prompt: str, *, again: bool) -> str:
    from steelyard.cli.accounts import ask_password, read_secret_line

    if file is not None:
        return read_secret_line(file, "key password file")
    return ask_password(prompt, again=again, option="--key-password-file")


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in numbers)
