"""A service elsewhere, as a seller sees it: sign in, bring the blocks that are missing, have them checked. docs/api.md, "Uploads".

What it answers is believed only where it can be compared with what was sealed here; plaintext and keys never leave this machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import urllib3

from steelyard.crypto.personal import personal_digest
from steelyard.domain.jsontext import decode_json
from steelyard.domain.siwe import Message
from steelyard.errors import (
    ConfigError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    UnavailableError,
    VerificationError,
)
from steelyard.service.account import Account
from steelyard.service.context import Context
from steelyard.service.public import Progress
from steelyard.service.publish import Upload
from steelyard.service.sealing import SealedVersion
from steelyard.storage.base import Store

TIMEOUT: Final = 60.0
"""Seconds for one answer; a check of a folder answers before that, done or not."""
ATTEMPTS: Final = 6
PARALLEL: Final = 4
CHECK_TIME: Final = 3600.0
"""Seconds for the check of a folder."""
_MAX_ANSWER: Final = 1 << 20
_LONGEST_WAIT: Final = 30.0
_LONGEST_NONCE: Final = 64
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})

T = TypeVar("T")


class _Nonce(msgspec.Struct):
    nonce: str
    chain_id: int


class _Session(msgspec.Struct):
    token: str


class _Upload(msgspec.Struct):
    id: str
    missing: list[str]
    stored: int


class _Check(msgspec.Struct):
    checked: int = 0
    bytes: int = 0


class Remote:
    """One service, for one account. Safe to use from several threads; close it."""

    def __init__(
        self, url: str, account: Account, *, chain_id: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Remember where it is; nothing is asked yet.

        Args:
            url: ``https://host``, or ``http`` on this machine.
            account: who signs in.
            chain_id: EIP-155 chain id that the service must be on.
            sleep: how to wait, for tests.

        Raises:
            ConfigError: the URL is no such one.
        """
        parts = urlsplit(url)
        local = parts.hostname in _LOCAL
        if (
            not parts.hostname
            or parts.username
            or parts.scheme not in ("https", *(("http",) if local else ()))
        ):
            raise ConfigError(
                "the service is named as https://host, or http://127.0.0.1:port on this machine"
            )
        self._url = url.rstrip("/")
        self._account = account
        self._chain_id = chain_id
        self._sleep = sleep
        self._token: str | None = None
        self._pool = urllib3.PoolManager(maxsize=PARALLEL, timeout=TIMEOUT, retries=False)

    def close(self) -> None:
        """End the session and close the connections."""
        if self._token is not None:
            try:
                self._once("DELETE", "/v1/session", b"", "application/json")
            except SteelyardError:
                pass  # it ends by itself
        self._token = None
        self._pool.clear()

    def sign_in(self) -> None:
        """Sign in.

        Raises:
            RefusedError: the service is for another chain, gives a nonce that is none, or refuses.
            UnavailableError: it does not answer, or not as it should.
        """
        given = self._json(_Nonce, "POST", "/v1/session/nonce", None, signed=False)
        if given.chain_id != self._chain_id:
            raise RefusedError(f"the service is for chain {given.chain_id}, not {self._chain_id}")
        if not given.nonce.isascii() or not given.nonce.isalnum() or len(given.nonce) > _LONGEST_NONCE:
            raise RefusedError("the service asks for a signature over something else than a nonce")
        own = urlsplit(self._url)
        # Signed for where it was found, so that a service in between cannot use it elsewhere.
        message = Message(
            scheme=own.scheme,
            domain=own.netloc,
            address=self._account.address,
            statement="Upload sealed folders to this service.",
            uri=f"{own.scheme}://{own.netloc}",
            chain_id=self._chain_id,
            nonce=given.nonce,
            issued_at=int(time.time()),
        ).text()
        v, r, s = self._account.sign_digest(personal_digest(message.encode()))
        signature = "0x" + (r + s + bytes([v])).hex()
        body = {"message": message, "signature": signature}
        self._token = self._json(_Session, "POST", "/v1/session", body, signed=False).token

    def upload(self, store: Store, cid: str, *, progress: Progress | None = None) -> Mapping[str, Any]:
        """Bring a folder there, as far as it is missing, and have it checked and pinned.

        Args:
            store: that has all of it.
            cid: of the folder.
            progress: told how far it is.

        Returns:
            What the service says a version of it commits to.

        Raises:
            RefusedError: the service refuses.
            UnavailableError: it does not answer, or not as it should; calling again goes on where it was.
            VerificationError: it asks for a block that is not of the folder.
            NotFoundError: ``store`` does not have a block.
        """
        if self._token is None:
            self.sign_in()
        total = store.cumulative_size(cid)
        own = {block.cid for block in store.walk(cid, leaves=False)}
        upload = self._json(_Upload, "POST", "/v1/uploads", {"folder": cid, "bytes": total})
        place = f"/v1/uploads/{upload.id}"
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="steelyard-upload") as threads:

            def bring(block: str) -> None:
                # The store may hold what is no business of this service.
                if block not in own:
                    raise VerificationError(
                        f"the service asks for block {block[:80]!a}, which is not of {cid}"
                    )
                data = store.get_block(block)
                self._asked("PUT", f"{place}/blocks/{block}", data, "application/vnd.ipld.raw")

            while missing := upload.missing:
                before = upload.stored
                list(threads.map(bring, missing))
                upload = self._json(_Upload, "GET", place, None)
                if progress is not None:
                    progress("upload", upload.stored, total)
                if upload.stored <= before:
                    raise UnavailableError(
                        "the service takes blocks and does not count them: try again later"
                    )
        return self._complete(place, progress)

    def _complete(self, place: str, progress: Progress | None) -> Mapping[str, Any]:
        end = time.monotonic() + CHECK_TIME
        while True:
            status, answer = self._asked("POST", f"{place}/complete", b"", "application/json")
            if status == 200:
                return _parsed(answer, dict[str, Any])
            if time.monotonic() > end:
                raise UnavailableError("the service has not checked the folder in time: call again later")
            if progress is not None:
                found = _parsed(answer, _Check)
                progress("check", found.checked, found.bytes)
            self._sleep(1.0)

    def _json(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        *,
        signed: bool = True,
    ) -> T:
        data = b"" if body is None else json.dumps(body).encode()
        return _parsed(self._asked(method, path, data, "application/json", signed=signed)[1], kind)

    def _asked(
        self, method: str, path: str, body: bytes, media: str, *, signed: bool = True
    ) -> tuple[int, bytes]:
        """Ask until there is an answer: a busy or broken service is asked again, an ended session begun anew."""
        pause = 0.5
        for left in reversed(range(ATTEMPTS)):
            try:
                status, headers, answer = self._once(method, path, body, media, signed=signed)
            except UnavailableError:
                if not left:
                    raise
            else:
                if status < 300:
                    return status, answer
                problem = _problem(answer)
                if status == 401 and signed and problem.get("code") == "session-ended" and left:
                    self.sign_in()
                    continue
                if (status != 429 and status < 500) or not left:
                    raise _error(status, problem)
                asked = headers.get("retry-after", "")
                pause = max(pause, float(asked) if asked.isdecimal() else 0.0)
            self._sleep(min(_LONGEST_WAIT, pause))
            pause *= 2
        raise AssertionError("unreachable")

    def _once(
        self, method: str, path: str, body: bytes, media: str, *, signed: bool = True
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"accept": "application/json"}
        if body:
            headers["content-type"] = media
        if signed and self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        try:
            answer = self._pool.request(
                method, self._url + path, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                data = answer.read(_MAX_ANSWER + 1)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as exc:
            raise UnavailableError(f"the service does not answer: {type(exc).__name__}") from exc
        if len(data) > _MAX_ANSWER:
            raise UnavailableError("the service answers with more than it should")
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, data


def uploader(url: str, *, progress: Progress | None = None) -> Upload:
    """Return what brings a sealed folder to a service before it is published, and compares what the service found.

    Args:
        url: of the service.
        progress: told how far it is.
    """

    def upload(context: Context, sealed: SealedVersion) -> None:
        remote = Remote(url, context.account, chain_id=context.chain_id)
        try:
            found = remote.upload(context.store, sealed.cid, progress=progress)
        finally:
            remote.close()
        version = sealed.version
        own = {
            "folder": "0x" + version.folder.hex(),
            "content_root": "0x" + version.content_root.hex(),
            "size": version.size,
            "node": "0x" + version.node.hex(),
            "scheme": version.scheme,
        }
        wrong = sorted(name for name, value in own.items() if found.get(name) != value)
        if wrong:
            raise VerificationError(f"the service found another {wrong[0]} in the folder than was sealed")

    return upload


def _parsed(answer: bytes, kind: type[T]) -> T:
    try:
        return decode_json(answer, kind)
    except ValueError as exc:
        raise UnavailableError("the service answers with something else than was asked") from exc


def _problem(answer: bytes) -> dict[str, Any]:
    try:
        return _parsed(answer, dict[str, Any])
    except UnavailableError:
        return {}


def _error(status: int, problem: Mapping[str, Any]) -> SteelyardError:
    told = str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")[:300]
    printable = "".join(char if char.isprintable() else "?" for char in told)
    text = f"the service says {problem.get('code', status)}: {printable}"
    if status >= 500 or status == 429:
        return UnavailableError(text)
    return NotFoundError(text) if status == 404 else RefusedError(text)
