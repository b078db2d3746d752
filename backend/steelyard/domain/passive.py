"""Cards are text: nothing in one may act in whoever's browser shows it.

Refused wherever it stands, also in a block of code, since no two renderers agree where such a block ends. Who renders
cards cleans them all the same; this keeps a seller from publishing what such a cleaner might miss. Source: OWASP, "XSS
Filter Evasion Cheat Sheet"; HTML Living Standard, event handlers on elements.
"""

from __future__ import annotations

import html
import re
from typing import Final

from steelyard.errors import ManifestError

_TAGS: Final = (
    "script|iframe|frame|frameset|object|embed|applet|form|link|meta|base|style|svg|math|template|noscript|noembed|noframes|"
    "xmp|plaintext|portal|foreignobject|animate|animatetransform|animatemotion|isindex|layer|ilayer|bgsound|xml|xss|handler|"
    "listener|vmlframe|body|html|head|title|textarea|select|keygen|marquee|event-source"
)
_TAG: Final = re.compile(rf"<\s*/?\s*(?:[a-z]{{1,20}}:)?({_TAGS})(?=[\s/>:\"'=]|$)", re.IGNORECASE)
_DECLARATION: Final = re.compile(
    r"<\s*(?:!\s*\[|!\s*(?:doctype|entity|attlist|element)|\?[a-z])", re.IGNORECASE
)
_EVENTS: Final = (
    "abort|activate|afterprint|afterupdate|animation[a-z]*|auxclick|before[a-z]+|begin|blur|bounce|cancel|canplay[a-z]*|cellchange|"
    "change|click|close|command|contextmenu|control[a-z]*|copy|cuechange|cut|data[a-z]+|dblclick|deactivate|drag[a-z]*|drop|"
    "durationchange|emptied|end|ended|error[a-z]*|filterchange|finish|focus[a-z]*|formdata|fullscreen[a-z]*|gotpointercapture|"
    "hashchange|help|input|invalid|key[a-z]+|languagechange|layoutcomplete|load[a-z]*|losecapture|lostpointercapture|media[a-z]+|"
    "message[a-z]*|mouse[a-z]+|move[a-z]*|offline|online|outofsync|page[a-z]+|paste|pause|play[a-z]*|pointer[a-z]+|popstate|progress|"
    "propertychange|ratechange|readystatechange|rejectionhandled|repeat|reset|resize[a-z]*|resume|reverse|row[a-z]+|scroll[a-z]*|"
    "search|securitypolicyviolation|seek[a-z]*|select[a-z]*|show|slotchange|stalled|start|stop|storage|submit|suspend|syncrestored|"
    "timeerror|timeupdate|toggle|touch[a-z]+|trackchange|transition[a-z]*|unhandledrejection|unload|urlflip|volumechange|waiting|"
    "webkit[a-z]+|wheel|zoom"
)
_HANDLER: Final = re.compile(rf"(?:[\s/\"'`<;]|^)(on(?:{_EVENTS}))\s*=", re.IGNORECASE)
_SCHEME: Final = re.compile(
    r"[(<\"'=\]:\[;](?:url\()?((?:javascript|vbscript):|data:(?:text/html|text/xml|image/svg|application/x[a-z+-]*)[;:,+])",
    re.IGNORECASE,
)
# What browsers drop from the scheme of an address, and what cannot be seen.
_DROPPED: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u2060-\u2069\ufeff]")
_TURNS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def check_passive(text: str) -> None:
    """Check a card before it is published.

    Raises:
        ManifestError: it has elements, handlers or addresses that act where it is shown, or signs that turn the
            direction of text; the message says which.
    """
    if _TURNS.search(text):
        raise ManifestError(
            "the card has signs that turn the direction of text, so it reads other than it is"
        )
    for spelled in dict.fromkeys((text, html.unescape(text), html.unescape(html.unescape(text)))):
        seen = _INVISIBLE.sub("", spelled)
        for pattern, what in (
            (_TAG, "the element"),
            (_DECLARATION, "the declaration"),
            (_HANDLER, "the handler"),
        ):
            if found := pattern.search(seen):
                raise ManifestError(
                    f"the card has {what} {found.group().strip()[:40]!a}, which can act where it is shown"
                )
        if found := _SCHEME.search(_DROPPED.sub("", spelled)):
            raise ManifestError(
                f"the card has an address {found.group()[1:40]!a}, which can act where it is followed"
            )
