"""The keystores of this machine: ``<home>/keystores/<name>.json``, version 3, one account a file."""

from __future__ import annotations

import json
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from steelyard.config import Config
from steelyard.crypto.secret import Secret
from steelyard.domain.ref import check_alias
from steelyard.domain.types import Address
from steelyard.errors import InputError, NotFoundError, SealError
from steelyard.service.files import private_folder, write_private

if TYPE_CHECKING:
    from steelyard.service.account import Account

# What opens keystores is imported where it is used: reads need only names and addresses, and start faster
# without.
_MAX_PASSWORD: Final = 4096


class Accounts:
    """The accounts below home, and how to unlock them. Nothing here prints a secret."""

    def __init__(self, config: Config) -> None:
        """Remember the settings; no file is read yet."""
        self._config = config
        self._folder = config.home / "keystores"

    # -- reading ---------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all accounts, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.json") if not path.name.startswith("."))

    def path(self, name: str) -> Path:
        """Return where the keystore of a name is or would be.

        Raises:
            InputError: the name cannot stand in a reference.
        """
        return self._folder / f"{check_alias(name)}.json"

    def address(self, name: str) -> Address:
        """Return the address that the keystore names, unproved until it is unlocked.

        Raises:
            NotFoundError: there is no such account.
            InputError: the file is malformed.
        """
        try:
            data = json.loads(self.path(name).read_bytes())
            address = bytes.fromhex(data["address"].removeprefix("0x"))
        except FileNotFoundError as exc:
            raise NotFoundError(self._missing(name)) from exc
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise InputError(f"{self.path(name)} is not a key file with an address") from exc
        if len(address) != 20:
            raise InputError(f"{self.path(name)} is not a key file with an address")
        return Address(address)

    def aliases(self) -> dict[str, Address]:
        """Return the names that can stand in references: those of the user's settings, and accounts here."""
        from steelyard.chain.hexdata import parse_address

        found = {name: parse_address(text) for name, text in self._config.aliases.items()}
        for name in self.names():
            found.setdefault(name, self.address(name))
        return found

    def chosen(self) -> str:
        """Return the name of the account to act with: the one set, or the only one.

        Raises:
            InputError: none is set, and there is not exactly one.
        """
        if self._config.account:
            return self._config.account
        names = self.names()
        if not names:
            raise InputError("there is no account here: run `steelyard account create NAME`")
        if len(names) > 1:
            raise InputError(f"several accounts are here: choose with --account ({', '.join(names)})")
        return names[0]

    def unlock(self, name: str) -> Account:
        """Return an account with its key.

        Raises:
            NotFoundError: there is no such account.
            InputError: there is no way to ask for its password.
            SealError: the password is wrong; the message says where it came from.
        """
        from steelyard.crypto import keystore
        from steelyard.service.account import Account

        path, expected = self.path(name), self.address(name)
        password, origin = self._password(name)
        try:
            key = keystore.load(path, password=password)
        except SealError as exc:
            raise SealError(
                f"the password of {name} from {origin} is wrong, or {path} was altered{self._other_way(name)}"
            ) from exc
        account = Account.from_key(key)
        if account.address != expected:
            raise InputError(f"{path} names another address than that of its key; it was altered")
        return account

    # -- writing ---------------------------------------------------------------------------------------------

    def add(self, name: str, key: Secret | None = None, *, remember: bool = False) -> Address:
        """Write a keystore; of a fresh key if none is given.

        Args:
            name: of the account.
            key: private key.
            remember: for development chains: make a password, write it beside the keystore, and use a quick
                key derivation.

        Raises:
            InputError: there is an account of this name, the key is none, or there is no way to ask for a
                password.
        """
        from steelyard.crypto import keystore
        from steelyard.service.account import Account

        path = self.path(name)
        if path.exists():
            raise InputError(f"there is an account {name!r} already; a key file is never overwritten")
        key = key or _fresh()
        account = Account.from_key(key)
        private_folder(self._folder)
        if remember:
            password = secrets.token_urlsafe(24)
            write_private(self._beside(name), password.encode() + b"\n", replace=True)
            keystore.save(path, key, password=password, scrypt_n=1 << 12)
        else:
            keystore.save(path, key, password=self._new_password(name))
        return account.address

    def _beside(self, name: str) -> Path:
        return self._folder / f"{name}.password"

    def _missing(self, name: str) -> str:
        known = ", ".join(self.names())
        return f"no account {name!r} in {self._folder}" + (f"; there are {known}" if known else "")

    def _password(self, name: str) -> tuple[str, str]:
        """Return the password and its source: flag > environment > user file > `up --dev` > terminal."""
        given = self._config.password_file
        if given is not None:
            return read_password(given), f"{given} ({self._given_by()})"
        beside = self._beside(name)
        if beside.exists():
            return read_password(beside), f"{beside} (made by `steelyard up --dev`)"
        return ask_password(f"Password of {name}", again=False), "the terminal"

    def _given_by(self) -> str:
        return self._config.sources.get("password_file", "setting password_file")

    def _other_way(self, name: str) -> str:
        """Say what a password file was preferred to: one file of passwords rarely fits every account."""
        if self._config.password_file is None or not self._beside(name).exists():
            return ""
        return f"; without {self._given_by()} the password made by `steelyard up --dev` would be used"

    def _new_password(self, name: str) -> str:
        if self._config.password_file is not None:
            return read_password(self._config.password_file)
        password = ask_password(f"New password for {name}", again=True)
        if not password:
            raise InputError("an empty password protects nothing")
        return password


def read_password(path: Path) -> str:
    """Return the first line of a file.

    Raises:
        InputError: it cannot be read, or its first line is empty.
    """
    return read_secret_line(path, "password file")


def read_secret_line(path: Path, what: str) -> str:
    """Return the first line of a small file that holds a secret; ``-`` is stdin. No message repeats it."""
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.readline(_MAX_PASSWORD)
        else:
            with path.open("rb") as file:
                data = file.readline(_MAX_PASSWORD)
        line = data.decode().rstrip("\r\n")
    except OSError as exc:
        raise InputError(f"cannot read the {what} {path}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise InputError(f"the {what} {path} is not text") from None
    if not line:
        raise InputError(f"the first line of the {what} {path} is empty")
    return line


def is_private(path: Path) -> bool:
    """Return whether nobody but its owner may read, write or enter it."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077


def read_key(path: Path) -> Secret:
    """Read a private key: 64 hexadecimal digits, with or without 0x, on a file's first line; ``-`` is stdin.

    Raises:
        InputError: it is not that. The message does not repeat it.
    """
    digits = read_secret_line(path, "key file").strip().removeprefix("0x")
    try:
        return Secret(bytes.fromhex(digits))
    except ValueError:
        raise InputError(f"{path} does not hold 64 hexadecimal digits") from None


def _fresh() -> Secret:
    from steelyard.crypto.curve import N

    return Secret.from_scalar(1 + secrets.randbelow(N - 1))


def ask_password(prompt: str, *, again: bool, option: str = "--password-file") -> str:
    """Ask for a password on the terminal, twice if ``again``; ``option`` is the way without a terminal.

    Raises:
        InputError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise InputError(f"there is no terminal to ask for the password on: give {option} FILE")
    answer: str = click.prompt(prompt, hide_input=True, err=True, confirmation_prompt=again)
    return answer
