"""`steelyard serve` as it is run: processes, a socket, a chain with sales."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from steelyard.chain.deployment import Deployment
from steelyard.chain.node import Node
from steelyard.domain.plain import plain
from steelyard.indexer.database import open_database
from steelyard.market import Market
from steelyard.query.audit import Audit
from steelyard.query.model import EventQuery
from steelyard.storage.embedded import EmbeddedStore
from tests.support.postgres import postgres, stop_postgres

SECONDS = 90


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A running service: its address, its process, and what it said."""

    process: subprocess.Popen[str]
    said: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def get(self, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> Got:
        connection = self.connect()
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, found, answer.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)

    def until(self, right: Callable[[], Any]) -> Any:
        """Wait until something is so, and return it."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, self.said
            try:
                if found := right():
                    return found
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise AssertionError(f"it did not come; said: {self.said[-5:]}")

    def ready(self) -> bool:
        return self.get("/readyz").status == 200


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    yield
    stop_postgres()


@pytest.fixture
def home(tmp_path: Path, deployment: Deployment) -> Path:
    place = tmp_path / "service"
    (place / "deployments").mkdir(parents=True)
    deployment.save(place / "deployments" / f"{deployment.chain_id}.json")
    return place


@pytest.fixture
def serve(home: Path, node: Node, store: EmbeddedStore, tmp_path: Path) -> Callable[..., Any]:
    """Starts a service; ends it, and looks how it ended."""

    @contextmanager
    def start(*options: str, code: int = 0, http: str = "127.0.0.1:0", **settings: str) -> Iterator[Served]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "STEELYARD_HOME": str(home),
            "STEELYARD_RPC": node.url,
            "STEELYARD_STORE": str(tmp_path / "store"),
            **{f"STEELYARD_{name.upper()}": value for name, value in settings.items()},
        }
        argv = ["serve", "--json", "--no-keys", "--interval", "1s", "--http", http, *options]
        command = [sys.executable, "-m", "steelyard.cli.main", *argv]
        with subprocess.Popen(
            command,
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            served = Served(process)
            reader = threading.Thread(target=_listen, args=(served,))
            reader.start()
            try:
                if "--no-http" not in options and not code > 0:
                    served.until(lambda: served.url)
                yield served
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                found = process.wait(SECONDS)
                reader.join()
        assert found == code, served.said

    return start


def _listen(served: Served) -> None:
    assert served.process.stderr is not None
    for line in served.process.stderr:
        try:
            event = json.loads(line)
        except ValueError:
            event = {"event": "no-json", "why": line}
        served.said.append(event)
        if event["event"] == "listening":
            served.url = event["why"]


@pytest.fixture
def sold(seller: Market, buyer: Market, folder: Path) -> str:
    """A reference of something that was published, offered, bought and delivered."""
    ref = seller.publish(folder, name="digits").ref.partition("@")[0]
    seller.offer(ref, price=10**15)
    bought = buyer.buy(ref, wait=0)
    seller.deliver(bought.id)
    return ref


def index_of(home: Path) -> Path:
    (found,) = (home / "markets").glob("*/index.sqlite")
    return found


def test_it_answers_what_the_index_has_and_ends_in_order(
    serve: Callable[..., Any], home: Path, sold: str, deployment: Deployment
) -> None:
    with serve() as served:
        served.until(served.ready)
        assert served.get("/healthz").json == {"status": "ok"}
        root = served.get("/v1").json
        assert root["chain_id"] == deployment.chain_id
        assert root["contracts"]["market"].lower() == "0x" + deployment.market.hex()
        asset = served.get(f"/v1/assets/{sold.replace('/', '%2F')}").json["item"]
        assert (asset["name"], asset["sales"]) == ("digits", 1)
        page = served.get(f"/v1/events?asset={sold.replace('/', '%2F')}&limit=500")
        assert {"AssetRegistered", "Offered", "Purchased", "Delivered"} <= {
            item["name"] for item in page.json["items"]
        }
        with Audit(open_database(index_of(home), readonly=True)) as audit:
            found = audit.events(EventQuery(asset=bytes.fromhex(asset["asset"][2:]), limit=500))  # type: ignore[arg-type]
            assert page.json["items"] == plain(found.items)
        path = f"/v1/events?asset={asset['asset']}&limit=500"
        while (again := served.get(path, {"if-none-match": page.headers["etag"]})).status != 304:
            assert again.json["at"] != page.json["at"], "only a new block changes the tag"
            page = again
    assert not [event for event in served.said if event["event"] in ("log", "ended", "no-json")], served.said


def test_files_come_whole_in_ranges_and_as_blocks(
    serve: Callable[..., Any], seller: Market, sold: str, store: EmbeddedStore
) -> None:
    info = seller.info(sold)
    version = f"{sold}@1".replace("/", "%2F")
    with serve() as served:
        served.until(served.ready)
        names = [link.name for link in store.list_directory(info.versions[0].cid)]
        for name in names:
            if store.is_directory(store.resolve(info.versions[0].cid, name)):
                continue
            path = f"/v1/versions/{version}/files/{name}"
            whole = served.get(path)
            cid = store.resolve(info.versions[0].cid, name)
            expected = b"".join(store.stream_file(cid))
            assert (whole.status, whole.body) == (200, expected)
            assert whole.headers["etag"] == f'"{cid}"'
            assert whole.headers["content-disposition"].startswith("attachment")
            part = served.get(path, {"range": "bytes=3-9"})
            assert (part.status, part.body) == (206, expected[3:10])
            assert part.headers["content-range"] == f"bytes 3-9/{len(expected)}"
        block = served.get(f"/v1/blocks/{info.versions[0].cid}")
        assert block.body == store.get_block(info.versions[0].cid)


def test_a_proof_bundle_comes_and_is_verified(
    serve: Callable[..., Any], seller: Market, sold: str, tmp_path: Path
) -> None:
    with serve() as served:
        served.until(served.ready)
        got = served.get(f"/v1/export/{sold.replace('/', '%2F')}.bundle.json")
        assert got.headers["content-disposition"].startswith("attachment")
        (tmp_path / "bundle.json").write_bytes(got.body)
        assert seller.verify_bundle(tmp_path / "bundle.json").purchases
        lines = served.get("/v1/export/events.jsonl").body.splitlines()
        complete = json.loads(lines[0])["complete"]
        assert complete["proved"] == complete["block"]
        assert len(lines) > 4
        assert served.get(f"/v1/export/0x{'12' * 32}.prov.json").status == 404


def test_what_happens_is_streamed_as_it_happens(
    serve: Callable[..., Any], seller: Market, buyer: Market, sold: str
) -> None:
    with serve() as served:
        served.until(served.ready)
        connection = served.connect()
        connection.request("GET", "/v1/events/stream?kinds=Purchased")
        answer = connection.getresponse()
        assert answer.getheader("content-type") == "text/event-stream"
        assert answer.readline() == b"retry: 2000\n"
        bought = buyer.buy(sold, wait=0)
        lines = iter(answer.readline, b"")
        data = next(line for line in lines if line.startswith(b"data: "))
        entry = json.loads(data[6:])
        assert (entry["name"], entry["id"]) == ("Purchased", "0x" + bought.id.hex())
        # The service's end is the stream's.
        served.process.send_signal(signal.SIGTERM)
        assert list(lines)[-1:] in ([b"\n"], [])
        connection.close()


def test_several_processes_share_a_socket_and_count_together(serve: Callable[..., Any], sold: str) -> None:
    with serve("--workers", "2", "--rate", "0") as served:
        served.until(served.ready)
        before = counted(served)
        for _ in range(40):
            assert served.get("/v1/events?limit=1").status == 200
        assert {counted(served) - before for _ in range(6)} == {40}


def counted(served: Served) -> float:
    text = served.get("/metrics").body.decode()
    start = 'steelyard_http_requests_total{endpoint="get_events",status="200"} '
    return sum(float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))


def children(process: subprocess.Popen[str]) -> list[int]:
    # Of all its threads: another one starts again what ended.
    lists = [task / "children" for task in Path(f"/proc/{process.pid}/task").iterdir()]
    return [int(item) for place in lists for item in place.read_text().split()]


def test_a_process_that_is_killed_comes_back(serve: Callable[..., Any], sold: str) -> None:
    with serve() as served:
        served.until(served.ready)
        for pid in (before := children(served.process)):
            os.kill(pid, signal.SIGKILL)
        served.until(lambda: len(set(children(served.process)) - set(before)) == len(before))
        served.until(served.ready)
    assert [event["event"] for event in served.said].count("ended") == 2


def test_when_the_first_process_is_killed_all_end(serve: Callable[..., Any], sold: str) -> None:
    with serve(code=-signal.SIGKILL) as served:
        served.until(served.ready)
        pids = children(served.process)
        os.kill(served.process.pid, signal.SIGKILL)
        end = time.monotonic() + SECONDS
        while any(Path(f"/proc/{pid}").exists() and not _is_dead(pid) for pid in pids):
            assert time.monotonic() < end
            time.sleep(0.05)


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_two_machines_share_one_postgresql_and_one_leads(serve: Callable[..., Any], sold: str) -> None:
    database = postgres().database()
    with serve(database=database) as first:
        first.until(first.ready)
        with serve("--no-index", database=database) as second:
            second.until(second.ready)
            here, there = first.get("/v1/events?limit=50").json, second.get("/v1/events?limit=50").json
            assert here["items"] == there["items"]


def test_a_taken_port_is_said(serve: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with serve(code=2, http=place) as served:
            assert served.process.wait(SECONDS) == 2
    assert f"cannot listen on {place}" in served.said[0]["why"]


def test_without_http_only_the_index_is_kept(serve: Callable[..., Any], home: Path, sold: str) -> None:
    with serve("--no-http") as served:

        def indexed() -> bool:
            try:
                with Audit(open_database(index_of(home), readonly=True)) as audit:
                    return audit.at().proved > 0
            except Exception:  # noqa: BLE001  # not there yet, in one way or another
                return False

        served.until(indexed)
