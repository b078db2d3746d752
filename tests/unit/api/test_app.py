"""What holds for every endpoint, on endpoints made for it."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from steelyard.api.app import App, Cut
from steelyard.api.problem import Problem
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Limits, Options, Reply, Service
from steelyard.domain.types import Address
from steelyard.errors import ChainError, InputError, RevertError
from tests.unit.api.reading import Got, ask

ALICE = Address(b"\xa1" * 20)


@dataclass(frozen=True)
class Shown:
    amount: int
    place: int
    tx: bytes
    owner: Address
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Wish:
    name: str
    times: int = 1


@dataclass
class Made:
    """An application, and what its endpoints were called with."""

    app: App
    service: Service
    calls: list[Call] = field(default_factory=list)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> Got:
        async def run() -> Got:
            async with asyncio.timeout(30):
                return await ask(self.app, method, path, headers, **more)

        return asyncio.run(run())

    def get(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> Got:
        return self.ask("GET", path, headers, **more)

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None, **more: Any) -> Got:
        return self.ask(
            "POST", path, {"content-type": "application/json", **(headers or {})}, body=body, **more
        )


Act = Callable[[Call], Awaitable[Answer | Response]]


def value(of: object, **more: Any) -> Act:
    async def act(call: Call) -> Answer:
        return Answer(value=of, **more)

    return act


def raises(exc: Exception) -> Act:
    async def act(call: Call) -> Answer:
        raise exc

    return act


FINE = value({"ok": True})


def make(
    act: Act = FINE,
    *,
    method: str = "GET",
    path: str = "/x",
    limits: Limits | None = None,
    more: Sequence[Endpoint] = (),
    once: Any = None,
    options: Options | None = None,
    **fields: Any,
) -> Made:
    made: Made

    async def handler(call: Call) -> Answer | Response:
        made.calls.append(call)
        return await act(call)

    async def authenticate(service: Service, request: Request) -> Address | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        if header != "Bearer alice":
            raise Problem("session-ended")
        return ALICE

    endpoint = Endpoint(
        method=method, path=path, handler=handler, name="tested", summary="", tag="test", **fields
    )
    options = options or Options(limits=limits or Limits(per_minute=0))
    service = Service(audit=None, market=None, options=options)  # type: ignore[arg-type]  # no endpoint here uses them
    made = Made(App(service, [endpoint, *more], authenticate=authenticate, once=once), service)
    return made


# -- form ------------------------------------------------------------------------------------------------------


def test_values_are_written_by_the_one_rule() -> None:
    shown = Shown(amount=1, place=1 << 53, tx=b"\x01\x02", owner=Address(bytes.fromhex("ab" * 20)))
    got = make(value(shown)).get("/x")
    assert got.headers["content-type"] == "application/json"
    assert got.json == {
        "amount": "1",
        "place": "9007199254740992",
        "tx": "0x0102",
        "owner": "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB",
        "next": None,
    }


def test_every_answer_forbids_what_a_browser_could_do_with_it_and_is_open_to_pages() -> None:
    for path in ("/x", "/nowhere"):
        headers = make().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in headers


def test_public_answers_are_asked_for_again_with_their_tag() -> None:
    made = make()
    first = made.get("/x")
    assert first.headers["cache-control"] == "no-cache"
    again = made.get("/x", {"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert made.get("/x", {"if-none-match": 'W/"other", ' + first.headers["etag"]}).status == 304
    assert made.get("/x", {"if-none-match": '"other"'}).status == 200


def test_another_answer_has_another_tag() -> None:
    tags = {make(value({"n": n})).get("/x").headers["etag"] for n in range(3)}
    assert len(tags) == 3


def test_answers_for_one_account_are_kept_by_nobody() -> None:
    got = make(signed_in=True).get("/x", {"authorization": "Bearer alice"})
    assert got.headers["cache-control"] == "no-store"
    assert "etag" not in got.headers


def test_the_next_page_is_in_the_link() -> None:
    shown = Shown(amount=1, place=2, tx=b"", owner=ALICE, next="abc")
    got = make(value(shown), query=Question).get("/x?limit=3&cursor=old")
    assert got.headers["link"] == '</x?limit=3&cursor=abc>; rel="next"'


def test_a_link_cannot_be_broken_out_of() -> None:
    shown = Shown(amount=1, place=2, tx=b"", owner=ALICE, next="abc")
    got = make(value(shown), path="/x/{name}").get('/x/a>;rel="evil"')
    assert got.headers["link"].count(">") == 1


def test_large_answers_are_compressed_for_who_takes_it() -> None:
    made = make(value({"text": "abc" * 1000}))
    got = made.get("/x", {"accept-encoding": "br, gzip;q=0.5"})
    assert got.headers["content-encoding"] == "gzip"
    assert gzip.decompress(got.body) == made.get("/x").body
    assert "content-encoding" not in made.get("/x", {"accept-encoding": "gzip;q=0"}).headers
    assert "content-encoding" not in make().get("/x", {"accept-encoding": "gzip"}).headers


def test_answers_for_one_account_are_not_compressed() -> None:
    made = make(value({"text": "abc" * 1000}), signed_in=True)
    got = made.get("/x", {"accept-encoding": "gzip", "authorization": "Bearer alice"})
    assert "content-encoding" not in got.headers


def test_head_has_the_headers_and_no_body() -> None:
    made = make()
    got, whole = made.ask("HEAD", "/x"), made.get("/x")
    assert (got.status, got.body) == (200, b"")
    assert got.headers == whole.headers


def test_what_is_not_json_for_a_caller_who_wants_none_is_refused() -> None:
    assert make().get("/x", {"accept": "text/html"}).json["code"] == "not-acceptable"
    assert make().get("/x", {"accept": "text/html, */*;q=0.1"}).status == 200


# -- paths and methods -----------------------------------------------------------------------------------------


def test_an_unknown_path_is_not_found() -> None:
    got = make().get("/y")
    assert (got.status, got.json["code"]) == (404, "not-found")
    assert got.headers["content-type"] == "application/problem+json"


def test_another_method_is_refused_and_told_which_there_are() -> None:
    got = make().ask("DELETE", "/x")
    assert (got.status, got.json["code"]) == (405, "method-not-allowed")
    assert got.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_browser_that_asks_first_is_told_what_it_may_send() -> None:
    got = make(method="POST", body=Wish).ask("OPTIONS", "/x", {"origin": "https://a.example"})
    assert (got.status, got.body) == (204, b"")
    assert got.headers["access-control-allow-methods"] == "OPTIONS, POST"
    assert "authorization" in got.headers["access-control-allow-headers"]


def test_parameters_of_paths_are_decoded_once() -> None:
    made = make(path="/x/{name}")
    made.get("/x/0xab%2Fdigits%402%2525")
    assert made.calls[0].path == {"name": "0xab/digits@2%25"}


@pytest.mark.parametrize("path", ["/x/%ff", "/x/a%00b"])
def test_a_path_that_is_no_text_is_refused(path: str) -> None:
    assert make(path="/x/{name}").get(path).json["code"] == "bad-parameter"


# -- parameters and bodies -------------------------------------------------------------------------------------


def test_unknown_parameters_are_refused() -> None:
    got = make(query=Question).get("/x?limt=3")
    assert (got.status, got.json["code"], got.json["parameter"]) == (400, "bad-parameter", "limt")
    assert make().get("/x?any=1").json["code"] == "bad-parameter"


def test_a_body_is_read_as_its_type() -> None:
    made = make(method="POST", body=Wish)
    assert made.post("/x", b'{"name": "a", "times": 2}').status == 200
    assert made.calls[0].body == Wish(name="a", times=2)


def test_a_body_that_comes_in_parts_is_put_together() -> None:
    made = make(method="POST", body=Wish)
    parts = [
        {"type": "http.request", "body": b'{"na', "more_body": True},
        {"type": "http.request", "body": b'me": "a"}', "more_body": False},
    ]
    assert made.post("/x", b"", parts=parts).status == 200


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (b"", None),
        (b"nonsense", None),
        (b"[]", None),
        (b"{}", "name"),
        (b'{"name": 1}', "name"),
        (b'{"name": "a", "more": 1}', "more"),
        (b'{"name": "a\\u0000"}', "name"),
        (b'{"name": "a", "times": 1.5}', "times"),
        (b'{"name": "a", "times": -1}', "times"),
        (b"[" * 100_00, None),
        (b'{"name": "\xff"}', None),
    ],
)
def test_a_malformed_body_is_refused_and_the_member_named(body: bytes, parameter: str | None) -> None:
    got = make(method="POST", body=Wish).post("/x", body)
    assert (got.status, got.json["code"]) == (400, "bad-body")
    assert got.json.get("parameter") == parameter


def test_a_body_of_another_media_type_is_refused() -> None:
    got = make(method="POST", body=Wish).ask(
        "POST", "/x", {"content-type": "text/plain"}, body=b'{"name":"a"}'
    )
    assert (got.status, got.json["code"]) == (415, "unsupported-media-type")


def test_a_body_where_none_is_taken_is_refused() -> None:
    assert make(method="DELETE").ask("DELETE", "/x", body=b"x").json["code"] == "bad-body"
    assert make(method="DELETE").ask("DELETE", "/x").status == 200


def test_a_body_is_bounded_by_what_it_says_and_by_what_it_is() -> None:
    made = make(method="POST", body=Wish, max_body=10)
    said = made.post("/x", b"", {"content-length": "11"}, parts=[])
    assert (said.status, said.json["code"]) == (413, "too-large")
    parts = [{"type": "http.request", "body": b"x" * 6, "more_body": True}] * 1000
    was = made.post("/x", b"", parts=parts)
    assert (was.status, was.json["code"]) == (413, "too-large")
    assert not made.calls


def test_a_raw_body_is_bounded_too() -> None:
    async def act(call: Call) -> Answer:
        return Answer(value={"bytes": len(await call.request.body())})

    made = make(act, method="PUT", raw="application/octet-stream", max_body=10)
    headers = {"content-type": "application/octet-stream"}
    assert made.ask("PUT", "/x", headers, body=b"x" * 10).json == {"bytes": 10}
    assert made.ask("PUT", "/x", headers, body=b"x" * 11).json["code"] == "too-large"


def test_a_body_that_does_not_come_ends_in_time() -> None:
    made = make(method="POST", body=Wish, limits=Limits(per_minute=0, seconds=0.01))
    got = made.post("/x", b"", parts=[{"type": "http.request", "body": b"{", "more_body": True}])
    assert (got.status, got.json["code"]) == (408, "timeout")


def test_an_act_that_takes_too_long_ends_in_time() -> None:
    async def act(call: Call) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    got = make(act, method="POST", limits=Limits(per_minute=0, seconds=0.01)).ask("POST", "/x")
    assert (got.status, got.json["code"]) == (408, "timeout")


def test_a_caller_who_goes_away_gets_nothing() -> None:
    made = make(method="POST", body=Wish)
    got = made.post("/x", b"", parts=[{"type": "http.disconnect"}])
    assert got.status == 0


# -- who asks --------------------------------------------------------------------------------------------------


def test_who_is_signed_in_is_known() -> None:
    made = make()
    made.get("/x", {"authorization": "Bearer alice"})
    made.get("/x")
    assert [call.account for call in made.calls] == [ALICE, None]


def test_an_endpoint_that_needs_a_session_refuses_who_has_none() -> None:
    made = make(signed_in=True)
    got = made.get("/x")
    assert (got.status, got.json["code"], got.headers["www-authenticate"]) == (401, "not-signed-in", "Bearer")
    assert made.get("/x", {"authorization": "Bearer mallory"}).json["code"] == "session-ended"
    assert not made.calls


def test_a_caller_who_asks_too_often_is_told_when_to_come_back() -> None:
    made = make(limits=Limits(per_minute=6, burst=2))
    assert [made.get("/x").status for _ in range(3)] == [200, 200, 429]
    got = made.get("/x")
    assert got.json["code"] == "too-many-requests"
    assert got.headers["retry-after"] == str(got.json["retry_after"]) == "10"
    assert made.get("/x", client=("127.0.0.2", 1)).status == 200


def test_paths_that_do_not_exist_count_too() -> None:
    made = make(limits=Limits(per_minute=6, burst=2))
    assert [made.get("/y").status for _ in range(3)] == [404, 404, 429]


def test_a_session_has_a_bucket_of_its_own_when_that_of_its_address_is_empty() -> None:
    made = make(limits=Limits(per_minute=6, burst=1))
    made.get("/x")
    signed = {"authorization": "Bearer alice"}
    assert [made.get("/x", signed).status for _ in range(2)] == [200, 429]


def _sender(**limits: int) -> Made:
    return make(
        method="PUT",
        raw="text/plain",
        signed_in=True,
        by_bytes=True,
        max_body=1 << 20,
        limits=Limits(**limits),
    )


def test_what_is_limited_by_its_bytes_takes_no_requests() -> None:
    made = _sender(per_minute=6, burst=1, upload=1)
    signed = {"authorization": "Bearer alice", "content-type": "text/plain"}
    # Without a length as much as there may be: four seconds' worth is there at first.
    sent = [made.ask("PUT", "/x", signed | {"content-length": "524288"}).status for _ in range(2)]
    sent += [made.ask("PUT", "/x", signed).status for _ in range(4)]
    assert sent == [200] * 5 + [429]
    assert made.get("/y").status == 404, "the address still has its request"


def test_who_is_not_signed_in_is_not_limited_by_his_bytes() -> None:
    made = _sender(per_minute=6, burst=1, upload=1)
    assert [made.ask("PUT", "/x").json["code"] for _ in range(2)] == ["not-signed-in", "too-many-requests"]


def test_no_upload_rate_is_no_limit() -> None:
    made = _sender(per_minute=6, burst=1, upload=0)
    signed = {"authorization": "Bearer alice", "content-type": "text/plain"}
    assert {made.ask("PUT", "/x", signed).status for _ in range(9)} == {200}


def test_a_body_in_a_content_coding_is_refused() -> None:
    made = make(method="POST", body=Wish)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    got = made.ask("POST", "/x", headers, body=b"{}")
    assert (got.status, got.headers["accept-encoding"]) == (415, "identity")
    assert made.ask("POST", "/x", headers | {"content-encoding": "Identity"}, body=b"{}").status == 400


def test_only_a_trusted_proxy_names_another_caller() -> None:
    limits = Limits(per_minute=6, burst=1)
    plain = make(limits=limits)
    assert [plain.get("/x", {"x-forwarded-for": f"10.0.0.{n}"}).status for n in range(2)] == [200, 429]
    trusted = make(options=Options(limits=limits, proxies=frozenset({"127.0.0.1"})))
    assert [trusted.get("/x", {"x-forwarded-for": f"10.0.0.{n}"}).status for n in range(2)] == [200, 200]
    # What the caller wrote himself stands before what the proxy added.
    spoofed = [trusted.get("/x", {"x-forwarded-for": f"9.9.9.{n}, 10.0.0.7"}).status for n in range(2)]
    assert spoofed == [200, 429]


# -- failure ---------------------------------------------------------------------------------------------------


def test_an_error_of_ours_is_a_problem() -> None:
    got = make(raises(InputError("limit is a whole number"))).get("/x")
    assert (got.status, got.json["code"], got.json["detail"]) == (
        400,
        "bad-parameter",
        "limit is a whole number",
    )
    got = make(raises(RevertError("too late", name="Market_TooLate", args_=(1, b"\x01")))).get("/x")
    assert (got.status, got.json["code"], got.json["contract_error"]) == (409, "reverted", "Market_TooLate")
    assert got.json["arguments"] == [1, "0x01"]


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (ValueError("secret at /home/alice: SELECT * FROM events"), "internal"),
        (ChainError("http://user:password@node failed"), "chain-unavailable"),
    ],
)
def test_what_is_not_the_callers_business_goes_to_the_log_only(
    exc: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "steelyard.api"):
        got = make(raises(exc)).get("/x")
    assert got.json["code"] == code
    for word in ("alice", "SELECT", "password", "Traceback"):
        assert word not in str(got.body)
    instance = got.json["instance"].rpartition(":")[2]
    assert instance in caplog.text
    assert str(exc) in caplog.text


class Breaks(Response):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("and then")


def test_a_stream_that_fails_after_its_beginning_is_cut() -> None:
    async def act(call: Call) -> Response:
        return Breaks()

    with pytest.raises(Cut):
        make(act).get("/x")


def test_a_stream_that_fails_before_its_beginning_is_a_problem() -> None:
    class Fails(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise Problem("store-unavailable")

    async def act(call: Call) -> Response:
        return Fails()

    got = make(act).get("/x")
    assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, "store-unavailable", "5")


def test_a_reader_of_a_stream_who_stalls_is_let_go() -> None:
    async def act(call: Call) -> Response:
        return Response(b"x")

    made = make(act, limits=Limits(per_minute=0, stall=0.01))

    async def run() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/x",
            "raw_path": b"/x",
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
        }

        async def send(message: Any) -> None:
            await asyncio.Event().wait()

        async def receive() -> Any:
            raise ClientDisconnect

        async with asyncio.timeout(20):
            await made.app(scope, receive, send)

    asyncio.run(run())


# -- counting --------------------------------------------------------------------------------------------------


def test_answers_are_counted_by_endpoint_and_status() -> None:
    made = make()
    made.get("/x")
    made.get("/x?no=1")
    made.get("/y")
    assert made.service.metrics is not None
    text = made.service.metrics.text().decode()
    assert 'steelyard_http_requests_total{endpoint="tested",status="200"} 1.0' in text
    assert 'steelyard_http_requests_total{endpoint="tested",status="400"} 1.0' in text
    assert 'steelyard_http_requests_total{endpoint="none",status="404"} 1.0' in text


# -- once ------------------------------------------------------------------------------------------------------


@dataclass
class Once:
    asked: list[dict[str, Any]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    async def __call__(self, service: Service, /, *, run: Any, **given: Any) -> Reply:
        self.asked.append(given)
        self.replies.append(await run())
        return self.replies[-1]


def test_a_key_is_handed_on_with_who_asks_and_what() -> None:
    once = Once()
    made = make(method="POST", body=Wish, idempotent=True, once=once)
    for body in (b'{"name":"a"}', b'{"name":"a"}', b'{"name":"b"}'):
        assert (
            made.post("/x", body, {"idempotency-key": "k 1", "authorization": "Bearer alice"}).status == 200
        )
    made.post("/x", b'{"name":"a"}', {"idempotency-key": "k 1"})
    first, second, other, nobody = once.asked
    assert first == second
    assert first["key"] == "k 1"
    assert len(first["digest"]) == 32 and first["digest"] != other["digest"]
    assert first["caller"] != nobody["caller"] == "127.0.0.1"


def test_a_problem_is_an_answer_that_can_be_kept() -> None:
    once = Once()
    made = make(raises(Problem("conflict")), method="POST", body=Wish, idempotent=True, once=once)
    assert made.post("/x", b'{"name":"a"}', {"idempotency-key": "k"}).status == 409
    assert once.replies[0].status == 409


@pytest.mark.parametrize("key", ["", "x" * 256, "\x01"])
def test_a_malformed_key_is_refused(key: str) -> None:
    made = make(method="POST", body=Wish, idempotent=True, once=Once())
    got = made.post("/x", b'{"name":"a"}', {"idempotency-key": key})
    assert (got.status, got.json["parameter"]) == (400, "Idempotency-Key")


# -- threads ---------------------------------------------------------------------------------------------------


def test_more_than_can_wait_for_a_thread_are_refused(tmp_path: Path) -> None:
    async def act(call: Call) -> Answer:
        return Answer(value=await call.service.thread(lambda: {"ok": True}))

    made = make(act, limits=Limits(per_minute=0, waiting=0))
    got = made.get("/x")
    assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, "not-ready", "1")
    assert make(act).get("/x").json == {"ok": True}
