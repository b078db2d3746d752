"""Everything else: programs, pictures and sound by their first bytes, texts by being UTF-8, and which of them by name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

from steelyard.domain.jsontext import DuplicateKeyError, check_depth, unique
from steelyard.errors import FormatError
from steelyard.formats import jsons, keras_config, names, templates
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Window

_SAMPLE: Final = 64 << 10
_MAX_JSON: Final = 4 << 20
_MAX_DEPTH_JSON: Final = 16 << 20
# First bytes, format, and why it runs code.
_LIBRARY: Final = "it is a program of the machine, which runs when it is loaded"
_DOTNET: Final = (
    "it is objects of .NET's BinaryFormatter, and reading them back runs code of any class at hand"
)
_JAVA: Final = "it is objects of Java, and reading them back runs code of any class at hand"
_MAGIC: Final = (
    (b"\x7fELF", "elf", _LIBRARY), (b"\xcf\xfa\xed\xfe", "macho", _LIBRARY),
    (b"\xce\xfa\xed\xfe", "macho", _LIBRARY), (b"\xfe\xed\xfa\xcf", "macho", _LIBRARY), (b"\xfe\xed\xfa\xce", "macho", _LIBRARY),
    (b"\xca\xfe\xba\xbe", "macho", _LIBRARY), (b"\xca\xfe\xba\xbf", "macho", _LIBRARY), (b"MZqFpD", "ape", _LIBRARY),
    (b"jartsr='", "ape", _LIBRARY), (b"\0asm", "wasm", _LIBRARY), (b"MZ", "pe", _LIBRARY),
    (b"\0\1\0\0\0\xff\xff\xff\xff\1\0\0\0\0\0\0\0", "dotnet-serialized", _DOTNET),
    (b"\x89PNG\r\n\x1a\n", "png", None), (b"\xff\xd8\xff", "jpeg", None), (b"GIF87a", "gif", None), (b"GIF89a", "gif", None),
    (b"RIFF", "riff", None), (b"OggS", "ogg", None), (b"fLaC", "flac", None),
    (b"SQLite format 3\0", "sqlite", None), (b"%PDF-", "pdf", None),
)  # fmt: skip
_MEDIA: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".wav", ".avi", ".ogg", ".oga", ".flac", ".pdf")
# Of Keras, of tokenizers, of jsonpickle; or spelt otherwise.
_ACTED_UPON: Final = re.compile(rb"class_name|chat_template|py/|\\u00[2-7]")
_FLAGS: Final = tuple(bytes((flags, 0, 0, 0)) for flags in range(4))
_MOBILE: Final = "it is TorchScript for small machines, a program with weights"
_BYTECODE: Final = "it is compiled Python, which runs when it is imported"
_JSONPICKLE: Final = "it is objects of jsonpickle, whose loader imports and calls what they name"
_MLFLOW: Final = "MLflow imports the module that it names, or the code beside it, when the model is loaded"
# In YAML of MLflow: a loader that is not of its own, code of the model's own, and keys that are spelt in a way that it does not write.
_OWN_LOADER: Final = re.compile(
    rb"loader_module['\"]?\s*:\s*+['\"]?+(?!mlflow\.)"
    rb"|(?<![\w.-])(?:code|model_code_path)['\"]?\s*:\s*(?!null\b|~)[^\s]"
    rb"|\\(?:x[2-7]|u00[2-7]|U000000[2-7]|[\r\n])|(?:^|[\s{,\[])(?:\?\s|\*[^\s,:]+\s*:)",
    re.MULTILINE,
)
# The key of an object of jsonpickle, however it is spelt.
_PY: Final = re.compile(rb'"(?:p|\\u0070)(?:y|\\u0079)(?:/|\\/|\\u002[fF])')
_R: Final = (
    "it is objects of R, which hold functions; R before 4.4 runs code by reading them (CVE-2024-27322)"
)
# As R reads them: it minds the first letter, and of text where words begin and end. What a workspace begins with is enough.
_R_DATA: Final = re.compile(
    rb"RD[ABX][1-3]\r?\n|X.\0\0\0[\2\3]|B.(?:[\2\3]\0\0\0|\0\0\0[\2\3])|\n?A.\s*[+0]*[23]\s+\d{5,6}\s+\d{5,6}\s",
    re.DOTALL,
)


def _escaped(text: bytes) -> bytes:
    """Return a pattern for a text of which any letter may be written as %xx."""
    return b"".join(
        b"(?:%b|%%(?i:%02x))" % (re.escape(text[at : at + 1]), text[at]) for at in range(len(text))
    )


# A tag of PyYAML's, by which its unsafe loaders call what it names, but for those of plain values. A directive can name them otherwise.
_TAG: Final = re.compile(
    rb"!(?:!|<" + _escaped(b"tag:yaml.org,2002:") + rb")" + _escaped(b"python/")
    + rb"(?!(?:none|bool|str|unicode|bytes|int|long|float|complex|list|tuple|dict)>?(?:\s|\Z))"
)  # fmt: skip
# At the begin of a line, of which YAML has five ends.
_TAG_DIRECTIVE: Final = re.compile(rb"(?:\A|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])(?:\xef\xbb\xbf)?%TAG\b")
_PYTHON_TAG: Final = (
    "it has a tag of Python's own, and unsafe loaders of YAML call what that names (CVE-2021-37678)"
)
# What loaders of models read by its name, and what is said of it where it is too large to be looked at.
_LOADED: Final = frozenset(("config.json", "tokenizer_config.json", "chat_template.json"))
_TOO_LARGE: Final = (
    "programs read it when a model is loaded, and it is larger than anything that is looked at here"
)
# What a text is can only be told by its name.
_TEXTS: Final = {
    ".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml",
    ".md": "markdown", ".jinja": "jinja", ".py": "python", ".html": "html", ".svg": "svg", ".xml": "xml", ".js": "javascript", ".sh": "shell",
}  # fmt: skip


class TextError(FormatError):
    """A text is not what its name says."""


def by_magic(head: bytes) -> FormatReport | None:
    """Return what a file is by its first bytes, or None."""
    for magic, name, code in _MAGIC:
        if head.startswith(magic) and (name != "pe" or _is_pe(head)):
            return FormatReport(format=name, code=code)
    if _is_bytecode(head):
        return FormatReport(format="python-bytecode", code=_BYTECODE)
    if head[4:8] == b"PTMF":
        return FormatReport(format="torchscript", code=_MOBILE)
    return objects(head)


def is_media(name: str, head: bytes) -> bool:
    """Whether a file is a picture, or the like, by its name and its first bytes, and so nothing that is loaded as a model."""
    found = by_magic(head) if name.lower().endswith(_MEDIA) else None
    return found is not None and found.code is None


def is_inert(window: Window) -> bool:
    """Whether a file is a text without a word that loaders of JSON act upon, as far as they are known here."""
    if window.size > _MAX_DEPTH_JSON or not is_text(window):
        return False
    return _ACTED_UPON.search(window.at(0, window.size)) is None


def objects(head: bytes) -> FormatReport | None:
    """Return which objects of R or Java a file holds, by its first bytes, or None. Their loaders unpack what is compressed."""
    if _R_DATA.match(head):
        return FormatReport(format="r-data", code=_R)
    return FormatReport(format="java-serialized", code=_JAVA) if head.startswith(b"\xac\xed\0\5") else None


def _is_bytecode(head: bytes) -> bool:
    """Whether this is what Python compiles to: its number, then a line's end; flags and 8 bytes, or a time and a size, or a time; code."""
    if len(head) < 16 or head[2:4] != b"\r\n" or b"\0" not in head[:16]:
        return False
    if head[1] in (0x0C, 0x0D, 0x0E, 0x0F) and head[4:8] in _FLAGS:
        return True
    return head[1] in (0x0B, 0x0C, 0x0D, 0xF2, 0xF3) and any(head[at] & 0x7F == ord("c") for at in (8, 12))


def _is_pe(head: bytes) -> bool:
    place = int.from_bytes(head[60:64], "little")
    return head[place : place + 4] == b"PE\0\0"


def is_text(window: Window) -> bool:
    """Whether the first 64 KiB are UTF-8 without NUL."""
    head = window.at(0, min(window.size, _SAMPLE))
    if b"\0" in head:
        return False
    for cut in range(4 if window.size > len(head) else 1):
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return True
    return False


def text(window: Window, name: str) -> FormatReport:
    """Return which text a file is.

    Args:
        window: the file.
        name: its name, whose suffix tells apart what content cannot.

    Raises:
        FormatError: it is JSON by its name and is nested too deeply, or has a key twice.
    """
    form = kind_of(name)
    if form == "json":
        return _json(window, name)
    if names.base(name) == "mlmodel":
        return FormatReport(format="mlmodel", code=_mlflow(window))
    look = {"jinja": _template, "yaml": tags}.get(form)
    return FormatReport(format=form, code=look(window) if look else None)


def kind_of(name: str) -> str:
    """Return which text a file is by its name."""
    return _TEXTS.get(name[name.rfind(".") :].lower(), "text")


def tags(window: Window) -> str | None:
    """Return why unsafe loaders of YAML run code by reading it, or None.

    Raises:
        FormatError: it is larger than anything that is read.
    """
    if window.size > _MAX_DEPTH_JSON:
        return _TOO_LARGE
    raw = window.at(0, window.size)
    return _PYTHON_TAG if _TAG.search(raw) or _TAG_DIRECTIVE.search(raw) else None


def _mlflow(window: Window) -> str | None:
    if window.size > _MAX_JSON:
        return _TOO_LARGE
    return _MLFLOW if _OWN_LOADER.search(window.at(0, window.size)) else tags(window)


def _template(window: Window) -> str | None:
    if window.size > _MAX_JSON:
        return _TOO_LARGE
    return templates.why(window.at(0, window.size).decode("utf-8", "replace"))


def _json(window: Window, name: str) -> FormatReport:
    """Return what a text is that is JSON by its name; also a model of Keras, of which there may be nothing else (``to_json``)."""
    form = FormatReport(format="json")
    unseen = _TOO_LARGE if name.rsplit("/", 1)[-1].lower() in _LOADED else None
    raw = window.at(0, min(window.size, _MAX_DEPTH_JSON))
    if window.size > len(raw):
        return replace(form, code=_JSONPICKLE if _PY.search(raw) else unseen)
    try:
        check_depth(raw)
    except ValueError as exc:
        raise TextError("its JSON is nested too deeply") from exc
    if window.size > _MAX_JSON or jsons.values(raw) > jsons.MAX_VALUES:
        templated = b'"chat_template"' in raw
        found = templates.why(raw.decode("utf-8", "replace")) if templated else None
        return replace(form, code=found or (_JSONPICKLE if _PY.search(raw) else unseen))
    try:
        value = json.loads(raw, object_pairs_hook=unique)
    except DuplicateKeyError as exc:
        raise TextError("its JSON has a key twice, which two readers read differently") from exc
    except (ValueError, RecursionError):
        return FormatReport(format="text")
    pickled = _PY.search(raw) and _is_jsonpickle(value)
    return replace(form, code=_JSONPICKLE if pickled else _code(value))


def _is_jsonpickle(value: object) -> bool:
    """Whether some object in JSON has a key of jsonpickle's."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            if any(key.startswith("py/") for key in item):
                return True
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return False


def _code(value: object) -> str | None:
    """Return why a JSON document is code: a model of Keras, or a tokenizer whose chat template is."""
    if keras_config.is_config(value):
        return keras_config.code_of(value)
    given = value.get("chat_template") if isinstance(value, dict) else None
    several = given if isinstance(given, list) else [given]  # of them each has a name and a template
    texts = (item.get("template") if isinstance(item, dict) else item for item in several)
    return next(filter(None, (templates.why(text) for text in texts if isinstance(text, str))), None)
