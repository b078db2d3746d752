"""What a seller's folder may do while it is looked at: every refusal names the file."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.errors import InputError, SteelyardError
from steelyard.service import sealing, source
from steelyard.service.declare import declare
from steelyard.service.public import MAX_CARD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "a.txt").write_bytes(b"text")
    (made / "b").write_bytes(b"")
    return made


def test_places_that_are_no_files_and_no_folders(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(folder / "a.txt")
    for place in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(InputError, match=re.escape(f"{str(place)!a} is a link or a device")):
            source.find(place)
    with pytest.raises(InputError, match="nowhere: No such file"):
        source.find(tmp_path / "nowhere")


def test_a_link_whose_name_would_be_a_line_of_its_own(folder: Path) -> None:
    (folder / "x\nerror: y").symlink_to("a.txt")
    with pytest.raises(InputError) as refused:
        source.find(folder)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_not_utf8_is_told(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/a\xff")).write_bytes(b"x")
    with pytest.raises(SteelyardError, match=r"a\\udcff"):
        source.find(folder)


def test_folders_deeper_than_a_path_can_be(folder: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(20):
            os.mkdir("d" * 255)
            os.chdir("d" * 255)
    finally:
        os.fchdir(here)
        os.close(here)
    with pytest.raises(InputError, match="cannot read .*d: File name too long"):
        source.find(folder)


def test_what_cannot_be_read_is_told() -> None:
    found = source.find(Path("/proc/self/mem"))
    with pytest.raises(InputError, match="cannot read /proc/self/mem: Input/output error"):
        source.hashed(replace(found, files=(replace(found.files[0], size=9),)))


def test_files_that_are_gone_or_others_when_they_are_read(folder: Path) -> None:
    found = source.find(folder)
    place = folder / "b"
    place.unlink()
    for look in (source.hashed, lambda item: declare(item, allow_code=False)):
        with pytest.raises(InputError, match=f"cannot read {re.escape(str(place))}: No such file"):
            look(found)
    os.mkfifo(place)  # which is as empty as the file was, and would be waited for
    for look in (source.hashed, lambda item: declare(item, allow_code=False)):
        with pytest.raises(InputError, match=f"{re.escape(str(place))} changes"):
            look(found)
    place.unlink()
    place.symlink_to("a.txt")
    with pytest.raises(InputError, match=f"cannot read {re.escape(str(place))}"):
        source.hashed(found)


def test_files_that_grow_and_shrink(folder: Path) -> None:
    found = source.find(folder)
    for data in (b"texts", b"tex"):
        (folder / "a.txt").write_bytes(data)
        with pytest.raises(InputError, match=r"a\.txt changes while it is read"):
            source.hashed(found)


def test_of_a_card_no_more_is_read_than_it_may_have(folder: Path) -> None:
    with (folder / "README.md").open("wb") as file:
        file.truncate(1 << 30)
    text = sealing._own_card(source.find(folder))
    assert text is not None and len(text) == MAX_CARD + 1
