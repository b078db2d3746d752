from __future__ import annotations

import io

import pytest

from steelyard.errors import InputError
from steelyard.storage.multipart import MAX_PARTS, Body, Form

TYPE = "multipart/form-data; boundary=XX"


def _body(data: bytes, *, chunk: int = 0, limit: int = 1 << 30) -> Body:
    if not chunk:
        return Body(io.BytesIO(data), {"Content-Length": str(len(data))}, limit=limit)
    pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return Body(io.BytesIO(wire), {"Transfer-Encoding": "chunked"}, limit=limit)


def _part(content: bytes, name: str = "f") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    return head.encode() + b"Content-Type: Text/Plain; x=y\r\n\r\n" + content + b"\r\n"


def _read(part: object, size: int = 7) -> bytes:
    data = b""
    while piece := part.read(size):  # type: ignore[attr-defined]
        assert len(piece) <= size
        data += piece
    return data


CONTENTS = [b"", b"a", b"\r\n", b"\r\n--X", b"\r\n--XY\r\n", b"--XX", b"a\r\n-" * 50, bytes(range(256)) * 3]


@pytest.mark.parametrize("chunk", [0, 1, 3, 64, 1 << 20])
def test_parts_come_back_however_they_are_cut(chunk: int) -> None:
    form = Form(_body(b"".join(map(_part, CONTENTS)) + b"--XX--\r\n", chunk=chunk), TYPE)
    assert [_read(part) for part in form.parts()] == CONTENTS


def test_unread_parts_are_skipped() -> None:
    form = Form(_body(_part(b"abc" * 100_000) + _part(b"d") + b"--XX--\r\n", chunk=1000), TYPE)
    assert len(list(form.parts())) == 2


def test_names_are_decoded_and_types_are_bare() -> None:
    (part,) = Form(_body(_part(b"", "dir%2Fa%20%C3%A9") + b"--XX--"), TYPE).parts()
    assert (part.filename, part.content_type) == ("dir/a é", "text/plain")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--XX",
        b"nothing",
        _part(b"abc"),
        _part(b"abc") + b"--XX",
        b"--XXjunk\r\n",
        b"--XX\r\nno colon\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nA: " + b"x" * 9000 + b"\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nA: \xff\r\n\r\nabc\r\n--XX--",
        _part(b"abc", "%ff") + b"--XX--",
        b"--XX\r\nContent-Disposition: form-data; filename*=utf-8''x\r\n\r\nabc\r\n--XX--",
    ],
)
def test_malformed_forms_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        list(Form(_body(data), TYPE).parts())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"--XXjunk\r\n\r\nabc\r\n--XX--", "boundary line"),
        (b"--XX\r\nA: " + b"x" * 20_000, "headers of a part are above"),
    ],
)
def test_what_is_wrong_with_a_form_is_told(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(Form(_body(data), TYPE).parts())


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_part_that_is_cut_off_never_ends_as_if_it_were_whole(size: int) -> None:
    part = next(Form(_body(_part(b"abc" * 100)[:-50]), TYPE).parts())
    with pytest.raises(InputError, match="cut off"):
        _read(part, size)


@pytest.mark.parametrize("boundary", ["", '""', '"a "', '"a;b"', '"\x01"', '"é"', "x" * 71])
def test_boundaries_that_are_none_are_refused(boundary: str) -> None:
    with pytest.raises(InputError, match="boundary"):
        Form(_body(b""), f"multipart/form-data; boundary={boundary}")


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(InputError, match="more than"):
        list(Form(_body(_part(b"") * (MAX_PARTS + 1) + b"--XX--"), TYPE).parts())


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "multipart/mixed; boundary=XX"]
)
def test_other_content_types_are_refused(content_type: str) -> None:
    with pytest.raises(InputError):
        Form(_body(b""), content_type)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "1", "Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "gzip"},
        {"Content-Length": "-1"},
        {"Content-Length": "+1"},
        {"Content-Length": "1_0"},
        {"Content-Length": "4\x1d"},
        {"Transfer-Encoding": "chunked\x1d"},
        {"Content-Length": "11"},
    ],
)
def test_bad_framing_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InputError):
        Body(io.BytesIO(b"0123456789ab"), headers, limit=10)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"zz\r\n",
        b"-1\r\n",
        b"5\r\nab",
        b"2\r\nabXX",
        b"2\nab\r\n0\r\n\r\n",
        b"b\r\n0123456789a\r\n0\r\n\r\n",
    ],
)
def test_bad_chunks_are_refused(wire: bytes) -> None:
    body = Body(io.BytesIO(wire), {"Transfer-Encoding": "chunked"}, limit=10)
    with pytest.raises(InputError):
        while body.read(100):
            pass


def test_a_cut_body_is_found() -> None:
    body = Body(io.BytesIO(b"abc"), {"Content-Length": "4"}, limit=10)
    assert body.read(10) == b"abc"
    with pytest.raises(InputError, match="cut off"):
        body.read(10)
