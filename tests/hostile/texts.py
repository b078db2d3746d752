"""Hostile names, folders, manifests and cards."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import SourceFile
from steelyard.errors import InputError, ManifestError
from tests.hostile.cases import Case

NAMES = [
    *("..", ".", "", "../a", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "/a", "/etc/passwd", "//host/a", "a/../../b"),
    *("C:", "C:a", "c:/a", "a:stream", "\\\\host\\a", "a\\b", "..\\a", "a\0", "a\0.txt", "\x01", "a\nb", "a\rb", "a\tb", "a\x1b[2J", "\x7f", "a\x85b"),
    *("a<b", "a>b", 'a"b', "a|b", "a?", "a*", "a.", "a ", "a./b", "a /b", "...", "a/. "),
    *("con", "CON", "nul", "prn", "aux", "con.txt", "Nul.tar.gz", "com0", "com1", "COM9", "lpt1", "lpt9.bin", "com\u00b9", "lpt\u00b3", "conin$", "CONOUT$", "a/aux/b", "nul ", "con .txt"),
    *("a\u202eb", "a\u202ab", "a\u202db", "a\u2066b", "a\u2069b", "a\u200eb", "a\u200fb", "\u061ca", "a\u200bb", "a\u200db", "a\u2060b", "\ufeffa", "a\u2028b", "a\u2029b"),
    *("e\u0301", "A\u030a", "\u212b", "\u1100\u1161", "\udc80", "a\ud800b", "x" * 256, "\u00e9" * 128, "d/" * 600 + "a", "\U0001f600" * 64),
]  # fmt: skip
TREES = [
    ("case", ["README", "readme"]),
    ("case of a folder", ["A/x", "a/y"]),
    ("case beyond ASCII", ["\u00c4", "\u00e4"]),
    ("sharp s", ["ss", "\u00df"]),
    ("long s", ["s", "\u017f"]),
    ("Kelvin", ["\u017fx", "sx"]),
    ("ligature", ["fi", "\ufb01"]),
    ("Greek sigma", ["\u03c2", "\u03c3"]),
    ("twice", ["a", "a"]),
    ("out of order", ["b", "a"]),
    ("file and folder", ["a", "a/b"]),
    ("file and folder by case", ["A", "a/b"]),
]


def cases() -> Iterator[Case]:
    for name in NAMES:
        yield Case(f"name: {name[:40]!a}", "paths", lambda n=name: [n], ManifestError, "path")  # type: ignore[misc]
    for what, names in TREES:
        yield Case(f"names: {what}", "paths", lambda n=names: n, ManifestError)  # type: ignore[misc]
    yield from _folders()
    yield from _manifests()
    yield from _cards()


def _folders() -> Iterator[Case]:
    def link(folder: Path) -> None:
        (folder / "a").symlink_to("/etc/passwd")

    def link_to_folder(folder: Path) -> None:
        (folder / "d").symlink_to("/etc")

    def dangling(folder: Path) -> None:
        (folder / "a").symlink_to("nothing")

    def link_upwards(folder: Path) -> None:
        (folder / "d").mkdir()
        (folder / "d" / "up").symlink_to("..")

    def pipe(folder: Path) -> None:
        os.mkfifo(folder / "a")

    def unix_socket(folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            here = os.open(".", os.O_RDONLY)
            try:
                os.chdir(folder)  # the path of a socket is at most 107 bytes
                listener.bind("a")
            finally:
                os.fchdir(here)
                os.close(here)

    def nothing(folder: Path) -> None: ...

    def hidden_alone(folder: Path) -> None:
        (folder / ".a").write_bytes(b"x")

    def composed_twice(folder: Path) -> None:
        (folder / "\u00e9").write_bytes(b"1")
        (folder / "e\u0301").write_bytes(b"2")

    def cases_meet(folder: Path) -> None:
        (folder / "A").write_bytes(b"1")
        (folder / "a").write_bytes(b"2")

    def device_name(folder: Path) -> None:
        (folder / "nul.bin").write_bytes(b"1")

    def turned(folder: Path) -> None:
        (folder / "a\u202egpj.py").write_bytes(b"1")

    def not_utf8(folder: Path) -> None:
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"1")

    def line_feed(folder: Path) -> None:
        (folder / "a\nb").write_bytes(b"1")

    fills: dict[str, Callable[[Path], None]] = {
        "a link": link, "a link to a folder": link_to_folder, "a dangling link": dangling, "a link upwards": link_upwards,
        "a pipe": pipe, "a socket": unix_socket, "nothing": nothing, "hidden files alone": hidden_alone,
    }  # fmt: skip
    for what, fill in fills.items():
        yield Case(f"folder: {what}", "folder", lambda f=fill: f, InputError)  # type: ignore[misc]
    for what, fill in {
        "composed twice": composed_twice, "case": cases_meet, "a device's name": device_name, "turned": turned,
        "not UTF-8": not_utf8, "a line feed": line_feed,
    }.items():  # fmt: skip
        yield Case(f"folder: names, {what}", "folder", lambda f=fill: f, ManifestError)  # type: ignore[misc]


def _manifests() -> Iterator[Case]:
    files = [
        SourceFile(path=path, size=9, format="onnx", role="weights", sha256=bytes(32)) for path in ("a", "b")
    ]
    public, sealed = manifests.build(files, key_salt=bytes(32))
    text = public.to_bytes().decode()

    def change(**parts: object) -> bytes:
        value = json.loads(text)
        for key, item in parts.items():
            at = value
            *path, last = key.split("__")
            for part in path:
                at = at[int(part)] if part.isdigit() else at[part]
            at[int(last) if last.isdigit() else last] = item
        return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()

    start = public.sealed_size
    texts: dict[str, bytes] = {
        "key twice": text.replace('"size":9}', '"size":9,"size":9}', 1).encode(),
        "white space": text.replace(":", ": ", 1).encode(),
        "line feed behind": text.encode() + b"\n",
        "bytes behind": text.encode() + b"{}",
        "byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "not UTF-8": text.replace('"a"', '"\udcff"').encode("utf-8", "surrogateescape"),
        "unsorted": b'{"size":1,"files":[]}',
        "needless escape": text.replace('"a"', '"\\u0061"').encode(),
        "fraction": text.replace('"size":9', '"size":9.0', 1).encode(),
        "exponent": text.replace('"size":9', '"size":9e0', 1).encode(),
        "NaN": text.replace('"size":9', '"size":NaN', 1).encode(),
        "minus zero": text.replace('"offset":0', '"offset":-0').encode(),
        "long integer": text.replace('"size":9', '"size":' + "9" * 5000, 1).encode(),
        "2^53": text.replace('"size":9', f'"size":{1 << 53}', 1).encode(),
        "null": text.replace('"size":9', '"size":null', 1).encode(),
        "truth": text.replace('"size":9', '"size":true', 1).encode(),
        "nested": b"[" * 100_000 + b"]" * 100_000,
        "nested objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "too large": b'"' + b"a" * (17 << 20) + b'"',
        "containers": b"[" + b"[]," * 300_000 + b"[]]",
        "values": b"[" + b"1," * 4_100_000 + b"1]",
        "strings": b"[" + b'"",' * 1_100_000 + b'""]',
        "another version": change(format="steelyard/manifest/v2"),
        "no files": change(files=[]),
        "gap": change(files__0__offset=start + 1),
        "overlap": change(files__1__offset=start),
        "offset before": change(files__0__offset=0),
        "size lies": change(size=public.size + 1),
        "size of a file lies": change(files__1__size=1 << 40),
        "sealed empty": change(sealed__size=0),
        "sealed elsewhere": change(sealed__offset=1),
        "path upwards": change(files__0__path="../a"),
        "path absolute": change(files__0__path="/a"),
        "same path": change(files__1__path="a"),
        "format of spaces": change(files__0__format="a b"),
        "format too long": change(files__0__format="a" * 65),
        "role empty": change(files__0__role=""),
        "salt short": change(keySalt="0x00"),
        "salt in capitals": change(keySalt="0x" + "AB" * 32),
        "file a text": change(files__0="a"),
        "files an object": change(files={}),
        "key more": change(more=1),
        "list": b"[]",
        "empty": b"",
    }
    for what, data in texts.items():
        yield Case(f"manifest: {what}", "manifest", lambda d=data: d, ManifestError)  # type: ignore[misc]
    secret = sealed.decode()
    for what, data in {
        "another path": secret.replace('"a"', '"c"'),
        "order": secret.replace('"a"', '"x"').replace('"b"', '"a"').replace('"x"', '"b"'),
        "digest in capitals": secret.replace("0x00", "0xAB", 1),
        "key twice": secret.replace('"path":"a",', '"path":"a","path":"a",'),
        "another version": secret.replace("v1", "v2"),
        "one file": json.dumps(
            {"files": json.loads(secret)["files"][:1], "format": manifests.SEALED_FORMAT},
            separators=(",", ":"),
        ),
    }.items():
        yield Case(f"sealed manifest: {what}", "sealed", lambda d=data: d.encode(), ManifestError)  # type: ignore[misc]


CARDS = """
<script>alert(1)</script>|<script src=//x></script>|<ScRiPt>x|<script/x>|<script¶>x|</script><script>x|<svg onload=alert(1)>|<svg/onload=alert(1)>
<svg><animate onbegin=alert(1)>|<svg><set attributeName=x>|<math><a xlink:href=javascript:x>|<img src=x onerror=alert(1)>|<img src=x oNeRrOr=alert(1)>
<img/src/onerror=alert(1)>|<img src="x" onerror = "x">|<img src='x'onerror='x'>|<body onload=x>|<a href=javascript:alert(1)>x</a>
<a href="javascript&colon;alert(1)">x|<a href="jav&#x09;ascript:x">x|<a href=" javascript:x">x|<a href="JaVaScRiPt:x">x|<a href='vbscript:x'>x
[x](javascript:alert(1))|[x]( javascript:x)|[x](JAVASCRIPT:x)|[x](&#x6A;avascript:x)|[x](java&NewLine;script:x)|[x]: javascript:x|<javascript:alert(1)>
![x](javascript:x)|![x](data:text/html;base64,PHN2Zz4=)|[x](data:text/html,<b>)|[x](data:image/svg+xml;base64,AAAA)|[x](data:application/xhtml+xml,x)
<iframe src=x>|<iframe srcdoc="x">|<object data=x>|<embed src=x>|<applet code=x>|<form action=x>|<button onclick=x>|<input onfocus=x autofocus>
<link rel=stylesheet href=x>|<style>@import 'x'</style>|<style onload=x>|<base href=//x>|<meta http-equiv=refresh content=0>|<template><b></template>
<details ontoggle=x open>|<video onloadstart=x><source>|<audio src=x onerror=x>|<marquee onstart=x>|<select onfocus=x>|<textarea autofocus onfocus=x>
<noscript><p title="</noscript><img src=x onerror=x>">|<xmp><b>|<plaintext>|<isindex action=x>|<frameset onload=x>|<frame src=x>|<portal src=x>
<div onmouseover=x>a</div>|<p onclick=x>|<b onpointerenter=x>|<i onanimationend=x style=x>|<u ontransitionend=x>|<a onfocusin=x>|<q onbeforeinput=x>
<!DOCTYPE html>|<!ENTITY x SYSTEM "file:///etc/passwd">|<![CDATA[<script>]]>|<?php x ?>|<?xml-stylesheet href=x?>|&lt;script&gt;x&lt;/script&gt;
&amp;lt;script&amp;gt;|<scr\u00adipt>x|<scr\u200bipt>x|<\u0000script>x|<img src=x on\u200berror=x>|[x](java\u200bscript:x)|[x](java\u0000script:x)
a\u202eb|a\u2066b|x \u202a y|```html¶<script>x</script>¶```|`<iframe src=x>`|<svg:script>x|<x:script>y|<foreignObject>|<html onload=x>|<title>x
""".replace("\n", "|")  # fmt: skip


def _cards() -> Iterator[Case]:
    for text in dict.fromkeys(CARDS.split("|")):
        text = text.replace("¶", "\n")
        if text:
            shown = text.encode().decode("unicode_escape") if "\\" in text else text
            yield Case(
                f"card: {text[:50]!a}",
                "card",
                lambda t=shown: f"# Card\n\n{t}\n",
                ManifestError,
                "the card has",
            )  # type: ignore[misc]
    fronts = {
        "alias": "a: &x [1]\nb: *x", "anchor": "a: &x 1", "tag": "a: !!python/object/apply:os.system ['id']", "local tag": "a: !x 1",
        "laughs": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]", "merge": "a: &x {b: 1}\n<<: *x", "directive": "%YAML 1.2\n---\na: 1",
        "two documents": "a: 1\n--- {b: 2}", "key twice": "a: 1\na: 2", "key a list": "? [a]\n: 1", "nested": "a: " + "[" * 40 + "]" * 40,
        "nested mappings": "".join(" " * n + "a:\n" for n in range(40)), "many": "a: [" + "x," * 61_000 + "]",
        "no mapping": "- a",
        "escape": 'a: "\\UDEADBEEF"', "open quote": 'a: "', "tab": "a:\n\t- b",
    }  # fmt: skip
    for what, front in fronts.items():
        data = front if what == "directive" else f"---\n{front}\n---\n# x\n"
        if what == "directive":
            data = f"---\n{front}\n---\n"
        yield Case(f"front matter: {what}", "front", lambda d=data: d.encode(), ManifestError)  # type: ignore[misc]
    yield Case("front matter: open", "front", lambda: b"---\na: 1\n", ManifestError, "does not end")
    yield Case(
        "front matter: card of megabytes", "front", lambda: b"#" * (300 << 10), ManifestError, "the most is"
    )
