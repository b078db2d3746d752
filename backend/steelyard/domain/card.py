"""Model cards: the public README.md of a version, with a front matter in the style of the Hugging Face Hub.

A card is its seller's word and comes from a stranger. Of YAML it may use mappings, lists and scalars: no aliases,
anchors or tags, so nothing grows when it is read. All scalars are text, as they were written: ``no`` is the language
and ``1.10`` the version that it looks like. Source: Hugging Face Hub, "Model Cards" (metadata) and Papers With Code's
model-index.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import yaml

from steelyard.errors import ManifestError

MAX_CARD: Final = 256 << 10
"""Most bytes of a card that is indexed."""
MAX_DEPTH: Final = 12
MAX_NODES: Final = 60_000
"""Most values, keys included, in a front matter."""
MAX_LIST: Final = 100
"""Most tags, datasets, bases or tasks; of metrics the first ones."""
MAX_LANGUAGES: Final = 2000
_MAX_TEXT: Final = 200
_MAX_LINK: Final = 2048
_JOINERS: Final = "\u200c\u200d"

Node: TypeAlias = "str | None | list[Node] | dict[str, Node]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure that a card reports: its name, value as written, and the data that it was measured on, if named."""

    name: str
    value: str
    dataset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        title: of the front matter, else of the first heading; or None.
        tasks: its pipeline tag, or the tasks of a dataset, lower case, each once.
        framework: library name, lower case, or None.
        licence: id, lower case, or None.
        tags: lower case, each once.
        datasets: that it names as trained on.
        bases: models that it names as its bases.
        metrics: that it reports.
        languages: that it names, lower case.
        licence_name: of a licence without an id.
        licence_link: where its text is.
        text: Markdown after the front matter.
    """

    title: str | None = None
    tasks: tuple[str, ...] = ()
    framework: str | None = None
    licence: str | None = None
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    languages: tuple[str, ...] = ()
    licence_name: str | None = None
    licence_link: str | None = None
    text: str = ""

    @property
    def task(self) -> str | None:
        """The first of its tasks, or None."""
        return next(iter(self.tasks), None)


def parse(data: bytes) -> Card:
    """Read a card from an untrusted source; a field that we cannot read is as if it were not there.

    Args:
        data: the file; bytes that are no UTF-8 are replaced.

    Raises:
        ManifestError: larger than MAX_CARD, or its front matter is no YAML, uses more of YAML than is allowed, has a
            key twice, or is too large or too deep.
    """
    return read(data)[0]


def read(data: bytes) -> tuple[Card, tuple[tuple[str, str], ...]]:
    """Read a card as :func:`parse` does, and tell which fields could not be read, and why.

    Raises:
        ManifestError: as of :func:`parse`.
    """
    if len(data) > MAX_CARD:
        raise ManifestError(f"the card has {len(data)} bytes; the most is {MAX_CARD}")
    front, text = split(_decode(data))
    top = _load(front) if front else {}
    if not isinstance(top, dict):
        raise ManifestError("the front matter of the card is no mapping")
    fields = _Fields(top)
    name, metrics = fields.index()
    titles = (fields.one("title"), fields.one("pretty_name"), fields.one("name"), fields.one("model_name"))
    title = next((item for item in (*titles, name, _heading(text)) if item), None)
    tag = fields.one("pipeline_tag")
    tasks = (tag,) if tag else fields.many("task_categories")
    card = Card(
        title=title,
        tasks=tuple(dict.fromkeys(item.lower() for item in tasks)),
        framework=_lower(fields.one("library_name")),
        licence=_lower(next(iter(fields.many("license")), None)),
        tags=tuple(dict.fromkeys(item.lower() for item in fields.many("tags"))),
        datasets=fields.many("datasets"),
        bases=fields.many("base_model"),
        metrics=metrics,
        languages=tuple(dict.fromkeys(item.lower() for item in fields.many("language", MAX_LANGUAGES))),
        licence_name=fields.one("license_name"),
        licence_link=fields.one("license_link", _MAX_LINK),
        text=text,
    )
    return card, tuple(fields.wrong.items())


def plain_card(data: bytes) -> Card:
    """Return a card of which only the text is taken, for one whose front matter cannot be read; cut to MAX_CARD."""
    return Card(text=_decode(data[:MAX_CARD]))


def split(text: str) -> tuple[str, str]:
    """Return front matter and body: the lines between a first line ``---`` and the next one, and what follows."""
    start = text.lstrip()
    if not start.startswith("---"):
        return "", text
    lines = start.splitlines(keepends=True)
    if lines[0].rstrip() != "---":
        return "", text
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() in ("---", "..."):
            return "".join(lines[1:number]), "".join(lines[number + 1 :])
    raise ManifestError("the front matter of the card does not end: a line --- is missing")


def completed(text: str, *, library: str) -> str:
    """Return a card that names the library, if it had no such field; nothing that stands in it is changed.

    A card that is not read, or would be read otherwise in anything else, is returned as it is.

    Args:
        text: the card.
        library: name of a library, as the Hub has it.
    """
    try:
        front, _ = split(text)
        start = text.lstrip()
        more = f"---\nlibrary_name: {library}\n---\n{text}"
        if front:
            lines = start.splitlines(keepends=True)
            end = lines[0].removeprefix("---")
            lines.insert(1 + len(front.splitlines()), f"library_name: {library}{end}")
            more = text[: len(text) - len(start)] + "".join(lines)
        elif start.startswith("---"):
            return text  # what is empty for us, others may read as a front matter
        same = parse(more.encode()) == replace(parse(text.encode()), framework=library)
    except ManifestError:
        return text
    return more if same else text


def _decode(data: bytes) -> str:
    # NUL is no character of a text, and PostgreSQL stores none.
    text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\0", "\ufffd")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# -- YAML ----------------------------------------------------------------------------------------------------


def _load(text: str) -> Node:
    """Build values from PyYAML's events, which neither resolve nor expand nor recurse."""
    try:
        return _build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 2}"
        raise ManifestError(f"the front matter of the card is no YAML{where}") from exc
    except (ValueError, OverflowError) as exc:  # PyYAML: an escape that stands for no character
        raise ManifestError("the front matter of the card has an escape that is no character") from exc


def _build(events: Iterator[yaml.Event]) -> Node:
    top: list[Node] = []
    stack: list[_Open] = []
    documents = nodes = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1 or event.version or event.tags:
                raise ManifestError("the front matter of the card is one YAML document without directives")
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            stack.pop()
        if not isinstance(event, yaml.NodeEvent):
            continue
        nodes += 1
        if event.anchor or getattr(event, "tag", None):  # an alias has the anchor that it means
            raise ManifestError(
                "the front matter of the card uses aliases, anchors or tags, which are not allowed"
            )
        if nodes > MAX_NODES or len(stack) > MAX_DEPTH:
            raise ManifestError("the front matter of the card is too large or too deep")
        value = _value(event)
        if stack:
            stack[-1].add(value)
        else:
            top.append(value)
        if isinstance(value, (list, dict)):
            stack.append(_Open(value))
    return top[0] if top else {}


class _Open:
    """A list or mapping that is being filled; a mapping takes keys and values in turn."""

    def __init__(self, value: list[Node] | dict[str, Node]) -> None:
        self._value = value
        self._key: str | None = None

    def add(self, item: Node) -> None:
        if isinstance(self._value, list):
            self._value.append(item)
        elif self._key is None:
            if not isinstance(item, str):
                raise ManifestError("a key in the front matter of the card is no text")
            if item in self._value:
                raise ManifestError(f"the front matter of the card has the key {item[:40]!r} twice")
            self._key = item
            self._value[item] = None
        else:
            self._value[self._key] = item
            self._key = None


def _value(event: yaml.NodeEvent) -> Node:
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    assert isinstance(event, yaml.ScalarEvent)
    text = str(event.value)
    if event.style is None and text in ("", "~", "null", "Null", "NULL"):
        return None
    return text


# -- fields --------------------------------------------------------------------------------------------------


def _clean(text: str, most: int = _MAX_TEXT) -> str:
    """Return one line without control characters, composed, of limited length; what joins letters stays between them."""
    flat = " ".join(text[: 4 * most].split())
    kept = "".join(
        c for at, c in enumerate(flat)
        if unicodedata.category(c) not in ("Cc", "Cf", "Cs") or (c in _JOINERS and flat[at - 1 : at].strip() and flat[at + 1 : at + 2].strip())
    )  # fmt: skip
    return unicodedata.normalize("NFC", kept)[:most].strip().strip(_JOINERS)


class _Fields:
    """Reads the fields of a front matter.

    Attributes:
        wrong: why a field could not be read, by its name.
    """

    def __init__(self, top: dict[str, Node]) -> None:
        self._top = top
        self.wrong: dict[str, str] = {}

    def one(self, name: str, most: int = _MAX_TEXT) -> str | None:
        """Return a text."""
        value = self._top.get(name)
        if value is not None and not isinstance(value, str):
            self.wrong[name] = "is no text"
            return None
        return _clean(value, most) or None if value else None

    def many(self, name: str, most: int = MAX_LIST) -> tuple[str, ...]:
        """Return a list of texts, each once; one text is a list of it."""
        value = self._top.get(name)
        items = [value] if isinstance(value, str) else value
        if items is None:
            return ()
        if not isinstance(items, list):
            self.wrong[name] = "is neither a text nor a list"
            return ()
        found: dict[str, None] = {}
        for item in items:
            if isinstance(item, (list, dict)):
                self.wrong[name] = "holds something that is no text"
            elif item is not None and (text := _clean(item)):
                found.setdefault(text)
        if len(found) > most:
            self.wrong[name] = f"has {len(found)} values; the first {most} are read"
        return tuple(found)[:most]

    def index(self) -> tuple[str | None, tuple[Metric, ...]]:
        """Return the name of the model, and the first metrics of all its results, of ``model-index``."""
        name: str | None = None
        found: list[Metric] = []
        for model in self._rows(self._top, "model-index"):
            name = name or _text(model.get("name"))
            for result in self._rows(model, "results"):
                data = result.get("dataset")
                dataset = (
                    (_text(data.get("name")) or _text(data.get("type"))) if isinstance(data, dict) else None
                )
                for metric in self._rows(result, "metrics"):
                    kind, value = (
                        _text(metric.get("type")) or _text(metric.get("name")),
                        _text(metric.get("value")),
                    )
                    if isinstance(metric.get("value"), (list, dict)):
                        self.wrong["model-index"] = "a value is no text"
                    if kind and value:
                        found.append(Metric(name=kind.lower(), value=value, dataset=dataset))
        return name, tuple(found[:MAX_LIST])

    def _rows(self, top: dict[str, Node], name: str) -> list[dict[str, Node]]:
        value = top.get(name)
        rows = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
        if value is not None and (not isinstance(value, list) or len(rows) != len(value)):
            self.wrong["model-index"] = f"{name} is no list of mappings"
        return rows


def _text(value: Node) -> str | None:
    return _clean(value) or None if isinstance(value, str) else None


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _heading(text: str) -> str | None:
    """Return the first heading, outside of blocks of code."""
    fence = ""
    for line in text.splitlines()[:50]:
        mark = line.lstrip()[:3]
        if mark in ("```", "~~~") and fence in ("", mark):
            fence = "" if fence else mark
        elif line.startswith("# ") and not fence:
            return _clean(line[2:]) or None
    return None
