from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

import pytest

from steelyard.api.outgoing import MAX_ANSWER, Outgoing, Target, is_public, parse_target
from steelyard.errors import InputError, RefusedError, UnavailableError

PUBLIC = "93.184.215.14"

# What must not be reached, however it is written. Each as the host of https://<host>/hook, or as a whole URL.
REFUSED = (
    # this machine
    "127.0.0.1", "127.1", "127.0.1", "0.0.0.0", "0", "127.255.255.254", "localhost", "localhost.", "LOCALHOST", "a.localhost",
    "127.0.0.1.", "127.000.000.001", "127.0.0.01", "0127.0.0.1", "%31%32%37.0.0.1", "127。0。0。1", "①②⑦.0.0.1",
    # decimal, octal, hexadecimal, mixed
    "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0x7F.1", "0177.0.0.1", "0177.0.0.0x1", "3232235777", "0xA9FEA9FE",
    "169.254.43518", "1.0x0", "0x", "99999999999", "256.1.1.1", "1.2.3.4.5",
    # one's own network, links, clouds' metadata
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "192.0.0.192", "168.63.129.16", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "203.0.113.9",
    "metadata.google.internal", "printer.local", "router.lan", "nas.home", "host.home.arpa", "intranet", "db", "a.corp",
    "x.test", "x.invalid", "hidden.onion", "1.0.0.127.in-addr.arpa",
    # IPv6
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[fe80::1]", "[fe80::1%25eth0]", "[2606:4700::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]",
    "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]", "::1", "[::1", "[v1.a]", "[127.0.0.1]",
    # names that are none
    "", ".", "a..example", "-a.example", "a-.example", "a" * 64 + ".example", "a b.example", "a_.b", "exa\tmple.com", "exa\nmple.com",
    "example.com\\@127.0.0.1", "xn--.\u0661", "ⓔⓧⓐⓜⓟⓛⓔ.com",
)  # fmt: skip
WHOLE = (
    "http://example.com/hook", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/", "example.com/hook",
    "https:example.com", "https:///hook", "https://user@example.com/", "https://user:secret@example.com/", "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/", "https://example.com/#fragment", "https://example.com:0/", "https://example.com:65536/",
    "https://example.com:/", "https://example.com:x/", "https://example.com:-1/", "https://example.com/a b", "https://example.com/\r\nX: y",
    "https://example.com/\x00", "https://example.com/" + "a" * 3000, "https://[::1]:443:80/", "javascript:alert(1)", "",
)  # fmt: skip


@pytest.mark.parametrize("host", REFUSED, ids=ascii)
def test_a_host_that_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(InputError):
        parse_target(f"https://{host}/hook")


@pytest.mark.parametrize("url", WHOLE, ids=lambda url: ascii(url)[:60])
def test_a_url_that_is_not_plain_https_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        parse_target(url)


def test_there_are_more_than_sixty_of_them() -> None:
    assert len(REFUSED) + len(WHOLE) >= 120


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target(secure=True, host="example.com", port=443, path="/")),
        (
            "https://Hooks.Example.com:8443/a?b=c",
            Target(secure=True, host="hooks.example.com", port=8443, path="/a?b=c"),
        ),
        (f"https://{PUBLIC}/", Target(secure=True, host=PUBLIC, port=443, path="/")),
        ("https://100.200.100.1/", Target(secure=True, host="100.200.100.1", port=443, path="/")),
        ("https://[2606:4700::1111]/x", Target(secure=True, host="2606:4700::1111", port=443, path="/x")),
        (
            "https://xn--bcher-kva.example/",
            Target(secure=True, host="xn--bcher-kva.example", port=443, path="/"),
        ),
    ],
)
def test_a_public_url_is_read(url: str, target: Target) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/", "http://localhost/", "https://[::1]/", "http://nas.lan/"]
)
def test_ones_own_network_must_be_asked_for(url: str) -> None:
    parse_target(url, allow_private=True)


@pytest.mark.parametrize(
    "url", ["http://2130706433/", "http://0x7f.1/", "ftp://localhost/", "http://u@localhost/"]
)
def test_odd_forms_are_refused_even_there(url: str) -> None:
    with pytest.raises(InputError):
        parse_target(url, allow_private=True)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1", PUBLIC])
def test_public_addresses_are(text: str) -> None:
    assert is_public(ip_address(text))


class Net:
    """A resolver that answers in turn, and a connector that notes where it was asked to go."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connected.append((address, port))
        raise ConnectionRefusedError

    def outgoing(self) -> Outgoing:
        return Outgoing(resolver=self.resolve, connector=self.connect)


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], [PUBLIC, "fe80::1"], ["64:ff9b::a00:1"]],
    ids=str,
)  # fmt: skip
def test_a_name_with_an_address_that_is_not_public_is_refused(answer: list[str]) -> None:
    net = Net(answer)
    with pytest.raises(RefusedError):
        net.outgoing().post("https://rebind.example/", b"", {})
    assert net.connected == []


@pytest.mark.parametrize("answer", [[], ["nonsense"]])
def test_a_name_without_an_address_cannot_be_reached(answer: list[str]) -> None:
    with pytest.raises(UnavailableError):
        Net(answer).outgoing().check("https://nowhere.example/")


def test_a_name_that_changes_between_check_and_use_is_refused() -> None:
    net = Net([PUBLIC], ["127.0.0.1"])
    outgoing = net.outgoing()
    outgoing.check("https://rebind.example/")
    with pytest.raises(RefusedError):
        outgoing.post("https://rebind.example/", b"", {})
    assert net.connected == []


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    net = Net([PUBLIC], ["127.0.0.1"])
    with pytest.raises(UnavailableError):
        net.outgoing().post("https://rebind.example:8443/", b"", {})
    assert net.asked == ["rebind.example"]
    assert net.connected == [(PUBLIC, 8443)]


# -- over real sockets -------------------------------------------------------------------------------------------


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Start a server for one connection; returns its port."""
    running: list[tuple[socket.socket, threading.Thread]] = []

    def start(handle: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                try:
                    handle(peer)
                except OSError:
                    pass  # the client has gone

        thread = threading.Thread(target=run)
        thread.start()
        running.append((listener, thread))
        return int(listener.getsockname()[1])

    yield start
    for listener, thread in running:
        listener.close()
        thread.join(10)


def test_a_request_has_what_it_needs_and_no_more(
    serve: Callable[[Callable[[socket.socket], None]], int],
) -> None:
    got: list[bytes] = []

    def handle(peer: socket.socket) -> None:
        got.append(peer.recv(65536))
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    port = serve(handle)
    answer = Outgoing(allow_private=True).post(f"http://127.0.0.1:{port}/hook?x=1", b"{}", {"a-b": "c"})
    assert (answer.status, answer.body) == (200, b"ok")
    assert got == [
        b"POST /hook?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\na-b: c\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        % port
    ]


def test_a_redirect_is_an_answer_and_not_followed(
    serve: Callable[[Callable[[socket.socket], None]], int],
) -> None:
    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")

    net = Net(["127.0.0.1"])
    port = serve(handle)
    outgoing = Outgoing(allow_private=True, resolver=net.resolve)
    assert outgoing.post(f"http://hook.lan:{port}/", b"", {}).status == 302
    assert net.asked == ["hook.lan"]


def test_only_so_much_of_an_answer_is_read(serve: Callable[[Callable[[socket.socket], None]], int]) -> None:
    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4 * MAX_ANSWER))

    answer = Outgoing(allow_private=True).post(f"http://127.0.0.1:{serve(handle)}/", b"", {})
    assert len(answer.body) == MAX_ANSWER


@pytest.mark.parametrize(
    "data", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]
)
def test_half_an_answer_is_none(serve: Callable[[Callable[[socket.socket], None]], int], data: bytes) -> None:
    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(data)

    if data.endswith(b"ab"):  # status and headers came: enough to know whether it was taken
        assert Outgoing(allow_private=True).post(f"http://127.0.0.1:{serve(handle)}/", b"", {}).status == 200
    else:
        with pytest.raises(UnavailableError):
            Outgoing(allow_private=True).post(f"http://127.0.0.1:{serve(handle)}/", b"", {})


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX-Drip: "], ids=["status", "headers"])
def test_a_server_that_drips_runs_into_the_limit(
    serve: Callable[[Callable[[socket.socket], None]], int], head: bytes
) -> None:
    done = threading.Event()

    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(head)
        while not done.wait(0.02):
            peer.sendall(b"x")

    port = serve(handle)
    with pytest.raises(UnavailableError, match="did not answer within"):
        Outgoing(allow_private=True, timeout=0.3).post(f"http://127.0.0.1:{port}/", b"", {})
    done.set()


def test_a_certificate_must_be_of_that_name(serve: Callable[[Callable[[socket.socket], None]], int]) -> None:
    def handle(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")  # no TLS at all

    net = Net(["127.0.0.1"])
    outgoing = Outgoing(allow_private=True, resolver=net.resolve, tls=ssl.create_default_context())
    with pytest.raises(UnavailableError, match="SSLError"):
        outgoing.post(f"https://hook.lan:{serve(handle)}/", b"", {})
