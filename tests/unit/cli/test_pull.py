"""``pull``, ``cat`` and ``cache`` as the command line has them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from steelyard.cli.main import run
from steelyard.cli.output import Output
from steelyard.cli.progress import Progress
from steelyard.cli.pull import parse_span
from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import SourceFile
from steelyard.domain.types import AssetId, VersionId
from steelyard.errors import InputError
from steelyard.service.cache import AssetCache, Known, file_digest
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import StubMarket


def test_a_revision_is_a_version(cli: Cli, market: StubMarket) -> None:
    cli("pull", "alice/digits", "--revision", "2")
    assert market.calls[-1][1][0] == "alice/digits@2"
    assert cli("pull", "alice/digits@1", "--revision", "2").code == 2


def test_offline_asks_for_no_account(cli: Cli, market: StubMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("pull", "alice/digits", "--offline").out.splitlines()[-1] == "/home/models/digits"
    monkeypatch.setenv("STEELYARD_OFFLINE", "1")
    assert cli("pull", "0x" + "ab" * 32).code == 0
    assert market.calls[-1][1][0] == "0x" + "ab" * 32  # not looked up


def test_quiet_prints_the_path_alone(cli: Cli) -> None:
    found = cli("pull", "alice/digits", "-q")
    assert (found.out, found.err) == ("/home/models/digits\n", "")


@pytest.fixture
def weights(market: StubMarket, monkeypatch: pytest.MonkeyPatch) -> bytes:
    data = bytes(range(256)) * 9
    monkeypatch.setattr(market, "open_file", lambda what, path: io.BytesIO(data), raising=False)
    return data


@pytest.mark.parametrize(
    "span, part", [(None, slice(None)), ("0:8", slice(0, 8)), ("300:", slice(300, None)), (":3", slice(3))]
)
def test_a_part_goes_to_stdout_as_it_is(
    weights: bytes,
    market: StubMarket,
    capfdbinary: pytest.CaptureFixture[bytes],
    span: str | None,
    part: slice,
) -> None:
    argv = ["cat", "alice/digits", "a.bin", *(["--range", span] if span else [])]
    assert run(argv, opener=lambda session, signing: market) == 0  # type: ignore[arg-type, return-value]
    assert capfdbinary.readouterr().out == weights[part]


def test_a_part_goes_to_a_new_file(cli: Cli, weights: bytes, tmp_path: Path) -> None:
    found = cli("cat", "alice/digits", "a.bin", "--range", "1:5", "--output", "part", "--json")
    assert found.document["size"] == 4 and (tmp_path / "part").read_bytes() == weights[1:5]
    assert cli("cat", "alice/digits", "a.bin", "--output", "part").code == 2
    assert cli("cat", "alice/digits", "a.bin", "--json").code == 2


@pytest.mark.parametrize("text", ["", "5", "a:b", "5:4", "-1:3", "1:2:3", "1:" + "9" * 20])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no range"):
        parse_span(text)


def pulled(home: Path, number: int, files: dict[str, bytes]) -> Known:
    """Put a version into the cache, as a pull does."""
    cache = AssetCache(home / "markets" / "1-ab", AssetId(b"\x01" * 32))
    with cache.lock():
        staged = home / "staged"
        sources, blobs = [], {}
        for path, data in files.items():
            staged.write_bytes(data)
            digest = file_digest(staged)
            sources.append(
                SourceFile(path=path, size=len(data), format="binary", role="other", sha256=digest)
            )
            blobs[path] = cache.blob(digest, len(data)) or cache.take(staged, digest)
        manifest, sealed = manifests.build(sources, key_salt=bytes(32))
        known = Known(
            ref=f"alice/digits@{number}",
            asset=cache.asset,
            version=VersionId(bytes([number]) * 32),
            number=number,
            manifest=manifest,
            digests={item.path: item.sha256 for item in sources},
        )
        cache.remember(known, sealed=sealed)
        cache.link(known, blobs)
    return known


def test_the_cache_is_listed_verified_and_emptied(cli: Cli, home: Path) -> None:
    assert "Nothing was pulled" in cli("cache", "ls").err
    pulled(home, 1, {"a.bin": b"a" * 1000, "b.bin": b"first"})
    pulled(home, 2, {"a.bin": b"a" * 1000, "b.bin": b"second"})
    listed = cli("cache", "ls", "--json").document
    assert [(item["ref"], item["files"], item["size"], item["shared"]) for item in listed] == [
        ("alice/digits@1", 2, 1005, 1000),
        ("alice/digits@2", 2, 1006, 1000),
    ]
    assert cli("cache", "verify").out == "4 files, all as they were\n"
    (place,) = home.glob("markets/*/models/*/2-*")
    (place / "b.bin").chmod(0o644)
    (place / "b.bin").write_bytes(b"SECOND")
    damaged = cli("cache", "verify")
    assert damaged.code == 5 and "alice/digits@2: b.bin is damaged" in damaged.err
    assert cli("cache", "rm", "alice/digits@1").out == "alice/digits@1: 5 B freed\n"
    assert (place / "a.bin").read_bytes() == b"a" * 1000
    assert cli("cache", "rm", "0x" + "02" * 8).code == 0
    assert cli("cache", "rm", "alice/digits@1").code == 3
    assert not list(home.rglob("blobs/*"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_tells_rate_and_time_left_of_what_is_done_now() -> None:
    times = iter([0.0, 10.0, 12.0, 14.0])
    err = Terminal()
    bar = Progress(Output(err=err), clock=lambda: next(times))
    bar("open", 500 << 20, 1000 << 20)  # half of it was there before
    bar("open", 600 << 20, 1000 << 20)
    assert "0:08 left" in err.getvalue()
    bar("check", 10, 10)
    assert "left" not in err.getvalue().rpartition("\r")[2]
