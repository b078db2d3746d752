"""What is wrong with a card, and what it could say besides. Source: Hugging Face Hub, "Model Cards", "Dataset Cards"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from steelyard.domain.card import Card, read
from steelyard.domain.licences import NAMELESS, is_known
from steelyard.domain.passive import check_passive
from steelyard.domain.types import AssetKind
from steelyard.errors import ManifestError

TASKS: Final = frozenset(
    {"any-to-any", "audio-classification", "audio-text-to-text", "audio-to-audio", "automatic-speech-recognition",
     "depth-estimation", "document-question-answering", "feature-extraction", "fill-mask", "graph-ml",
     "image-classification", "image-feature-extraction", "image-segmentation", "image-text-to-image", "image-text-to-text",
     "image-text-to-video", "image-to-3d", "image-to-image", "image-to-text", "image-to-video", "keypoint-detection",
     "mask-generation", "multiple-choice", "object-detection", "other", "question-answering", "reinforcement-learning",
     "robotics", "sentence-similarity", "summarization", "table-question-answering", "table-to-text",
     "tabular-classification", "tabular-regression", "tabular-to-text", "text-classification", "text-generation",
     "text-ranking", "text-retrieval", "text-to-3d", "text-to-audio", "text-to-image", "text-to-speech", "text-to-video",
     "time-series-forecasting", "token-classification", "translation", "unconditional-image-generation",
     "video-classification", "video-text-to-text", "video-to-video", "visual-document-retrieval",
     "visual-question-answering", "voice-activity-detection", "zero-shot-classification", "zero-shot-image-classification",
     "zero-shot-object-detection"}
)  # fmt: skip
"""Tasks that the Hub knows."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*|code|multilingual")
_NAME: Final = re.compile(
    r"(?!.*(?:--|\.\.))[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?(?:/[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)?",
    re.IGNORECASE,
)
_PLAIN: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?%?"
# Also with what it may be off by.
_NUMBER: Final = re.compile(rf"{_PLAIN}(?:\s*(?:±|\+/-)\s*{_PLAIN}|\s*\({_PLAIN}\))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a card.

    Attributes:
        wrong: True if it must be mended, False if it is advice.
        field: of the front matter, or ``card``.
        text: what it is.
    """

    wrong: bool
    field: str
    text: str


def check(data: bytes, *, kind: AssetKind = AssetKind.MODEL) -> tuple[Card | None, tuple[Finding, ...]]:
    """Read and check a card.

    Args:
        data: the file.
        kind: whether it is of a model or of a dataset.

    Returns:
        The card, or None if it cannot be read, and everything that was found, what is wrong first.
    """
    try:
        data.decode("utf-8")
        card, unread = read(data)
    except UnicodeDecodeError:
        return None, (Finding(wrong=True, field="card", text="it is not UTF-8"),)
    except ManifestError as exc:
        return None, (Finding(wrong=True, field="card", text=str(exc)),)
    lost = [Finding(wrong=True, field=field, text=why) for field, why in unread]
    found = [*_passive(data.decode("utf-8")), *lost, *_licence(card), *_fields(card, kind)]
    return card, tuple(sorted(found, key=lambda item: not item.wrong))


def _passive(text: str) -> Iterator[Finding]:
    try:
        check_passive(text)
    except ManifestError as exc:
        yield Finding(wrong=True, field="card", text=str(exc))


def _licence(card: Card) -> Iterator[Finding]:
    if card.licence is None:
        yield Finding(wrong=False, field="license", text="names no licence: an SPDX id, such as apache-2.0")
    elif not is_known(card.licence):
        yield Finding(
            wrong=True,
            field="license",
            text=f"{card.licence!a} is neither an SPDX expression nor an id of the Hub",
        )
    elif card.licence in NAMELESS and not (card.licence_name and card.licence_link):
        yield Finding(
            wrong=False,
            field="license",
            text=f"{card.licence} says nothing without license_name and license_link",
        )


def _fields(card: Card, kind: AssetKind) -> Iterator[Finding]:
    if card.title is None:
        yield Finding(wrong=False, field="card", text="has no title: a first line '# Name'")
    for task in card.tasks:
        if task not in TASKS:
            yield Finding(
                wrong=False, field=_task_field(kind), text=f"{task!a} is no task that the Hub knows"
            )
    if not card.tasks:
        yield Finding(wrong=False, field=_task_field(kind), text="names no task, so nobody finds it by one")
    if kind is AssetKind.MODEL and card.framework is None:
        yield Finding(wrong=False, field="library_name", text="names no library that loads it")
    for field, names in (("datasets", card.datasets), ("base_model", card.bases)):
        for name in names:
            if not _NAME.fullmatch(name):
                yield Finding(wrong=True, field=field, text=f"{name[:80]!a} is no name such as owner/name")
    for language in card.languages:
        if not _LANGUAGE.fullmatch(language):
            yield Finding(
                wrong=True, field="language", text=f"{language[:40]!a} is no language code (ISO 639)"
            )
    for metric in card.metrics:
        if not _NUMBER.fullmatch(metric.value):
            yield Finding(
                wrong=False,
                field="model-index",
                text=f"{metric.name[:40]}: {metric.value[:40]!a} is no number",
            )
        if metric.dataset is None:
            yield Finding(
                wrong=False, field="model-index", text=f"{metric.name[:40]}: on which data is not said"
            )


def _task_field(kind: AssetKind) -> str:
    return "pipeline_tag" if kind is AssetKind.MODEL else "task_categories"
