import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steelyard.cli.output import Output, clean, pairs, plain, short, table
from steelyard.cli.progress import Progress
from steelyard.crypto.secret import Secret
from steelyard.domain.types import State


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_results_and_talk_go_apart() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out=out, err=err)
    output.say("talk")
    output.result({"a": 1}, ["line"])
    assert (out.getvalue(), err.getvalue()) == ("line\n", "talk\n")


def test_quiet_silences_talk_and_not_warnings() -> None:
    err = io.StringIO()
    output = Output(quiet=True, err=err)
    output.say("talk")
    output.warn("careful")
    assert err.getvalue() == "warning: careful\n"


@pytest.mark.parametrize(
    ("color", "screen", "colored"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_color_only_where_it_is_wanted_and_possible(color: bool, screen: bool, colored: bool) -> None:
    err = Screen() if screen else io.StringIO()
    Output(color=color, err=err).warn("careful")
    assert ("\x1b[" in err.getvalue()) is colored


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\r", "\x07", "\u202e", "\u200b", "\x9b31m", "\u2028"])
def test_nothing_of_a_stranger_drives_the_terminal(hostile: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out=out, err=err)
    output.result({}, [f"name{hostile}", *table(("A",), [(hostile,)])])
    output.say(hostile)
    output.error(hostile, kind="x", code=1)
    assert hostile not in out.getvalue() + err.getvalue()


def test_other_scripts_and_line_feeds_stay() -> None:
    assert clean("Zürich 数字\nmodel\tx") == "Zürich 数字\nmodel\tx"


@dataclass(frozen=True)
class Example:
    price: int
    number: int
    state: State
    id: bytes
    at: Path
    inner: tuple[bytes, ...] = ()
    hidden: object = field(default=None, repr=False)


def test_json_forms() -> None:
    value = Example(5, 2**53, State.PAID, b"\x01" * 32, Path("/x"), (b"\x02" * 20,), object())
    assert plain(value) == {
        "price": "5",
        "number": "9007199254740992",
        "state": "paid",
        "id": "0x" + "01" * 32,
        "at": "/x",
        "inner": ["0x0202020202020202020202020202020202020202"],
    }


def test_a_secret_has_no_json_form() -> None:
    with pytest.raises(TypeError):
        plain({"key": Secret(b"\x01" * 32)})


def test_json_is_one_line_even_of_hostile_text() -> None:
    out = io.StringIO()
    Output(as_json=True, out=out).result({"name": "a\nb\x1b"}, ["not this"])
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue()) == {"name": "a\nb\x1b"}


def test_tables_align_and_have_no_trailing_space() -> None:
    assert table(("A", "B"), [("long", "x"), ("s", "")]) == ["A     B", "long  x", "s"]
    assert table(("A",), []) == []


def test_pairs_leave_out_what_is_empty() -> None:
    assert pairs([("a", "1"), ("long", "2"), ("none", "")]) == ["a     1", "long  2"]


def test_short_ids() -> None:
    assert short(b"\xab" * 32) == "0xabab..abab"


def ticking(times: list[float]) -> object:
    return lambda: times.pop(0)


def test_progress_is_drawn_on_a_terminal_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    err = Screen()
    with Progress(Output(err=err), clock=ticking([0.0, 1.0, 2.0])) as progress:  # type: ignore[arg-type]
        progress("seal", 512, 1024)
        drawn = err.getvalue()
        progress("seal", 1024, 1024)
    assert "seal" in drawn
    assert " 50%" in drawn
    assert len(drawn.lstrip("\r")) <= 79
    assert err.getvalue().endswith("\r")


def test_progress_is_silent_without_a_terminal_or_if_quiet() -> None:
    for output in (Output(err=io.StringIO()), Output(err=Screen(), quiet=True)):
        with Progress(output) as progress:
            progress("seal", 1, 1)
        assert output.err.getvalue() == ""  # type: ignore[attr-defined]


def test_progress_is_drawn_ten_times_a_second_at_most() -> None:
    err = Screen()
    progress = Progress(Output(err=err), clock=ticking([0.0, 1.0, 1.05, 1.2]))  # type: ignore[arg-type]
    for done in (1, 2, 3):
        progress("seal", done, 10)
    assert err.getvalue().count("\r") == 2


def test_progress_of_nothing() -> None:
    err = Screen()
    Progress(Output(err=err))("seal", 0, 0)
    assert "100%" in err.getvalue()
