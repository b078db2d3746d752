from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from steelyard.chain.hexdata import quantity
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.errors import ChainError, InputError

PLACE = "node_modules/@foundry-rs/anvil-linux-amd64/bin"


def program(folder: Path, text: str = "#!/bin/sh\necho no; exit 3\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "anvil"
    file.write_text(text)
    file.chmod(0o755)
    return file


def test_a_configured_program_is_used(tmp_path: Path) -> None:
    file = program(tmp_path / "here")
    program(tmp_path / "path")
    assert find_anvil(configured=file, search_path=str(tmp_path / "path")) == file


def test_a_wrong_setting_is_an_error(tmp_path: Path) -> None:
    program(tmp_path / "path")
    with pytest.raises(InputError, match="no program"):
        find_anvil(configured=tmp_path / "anvil", search_path=str(tmp_path / "path"))


def test_the_search_path_comes_before_packages(tmp_path: Path) -> None:
    program(tmp_path / PLACE)
    file = program(tmp_path / "path")
    assert find_anvil(search_path=str(tmp_path / "path"), start=tmp_path) == file


def test_packages_are_looked_for_upwards(tmp_path: Path) -> None:
    file = program(tmp_path / PLACE)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_anvil(search_path="", start=tmp_path / "a" / "b") == file


def test_nowhere_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="npm install @foundry-rs/anvil-linux-amd64"):
        find_anvil(search_path=str(tmp_path), start=tmp_path)


def test_a_program_that_ends_is_told_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="did not start: no"):
        Node.start(program(tmp_path))


def test_a_program_that_is_ready_at_once_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As when the thread that reads is done before the one that started it goes on.
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.run)
    monkeypatch.setattr(threading.Thread, "join", lambda *_: None)
    monkeypatch.setattr("steelyard.chain.node._keys", lambda _: ())
    anvil = program(tmp_path, "#!/bin/sh\necho Listening on 127.0.0.1:4321\n")
    with Node.start(anvil) as node:
        assert node.port == 4321


def test_a_program_that_cannot_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="cannot start"):
        Node.start(program(tmp_path, "no program"))


def test_a_chain_keeps_its_state_and_its_process_ends(tmp_path: Path) -> None:
    try:
        anvil = find_anvil()
    except InputError as exc:
        pytest.skip(str(exc))
    state = tmp_path / "chain.json"
    account = "0x" + "77" * 20
    with Node.start(anvil, state=state, chain_id=4242, accounts=3) as node:
        assert len(node.keys) == 3 and node.is_running
        pid = node.pid
        with Rpc(node.url, chain_id=4242) as rpc:
            rpc.call("anvil_setBalance", (account, quantity(5)))
            rpc.call("evm_mine")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with Node.start(anvil, state=state, chain_id=4242) as node, Rpc(node.url, chain_id=4242) as rpc:
        assert rpc.call("eth_getBalance", (account, "latest")) == "0x5"
        node.stop()
        node.stop()
