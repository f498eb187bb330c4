"""The text of a subtitle: read from FFmpeg's ASS events, written as SubRip, WebVTT or MP4's timed text.

FFmpeg's own writers are not used: they print drawings as text, leave ``<`` and ``&`` as they are in WebVTT,
and repeat the default font at every line of SubRip.

Sources: Aegisub's manual (ASS override tags), W3C WebVTT 1, 3GPP TS 26.245 (timed text).
"""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

_BLOCK = re.compile(r"(?<!\\)\{(\\[^}]*)\}")  # other braces are text
_TAG = re.compile(r"\\(an\d|pos\(|[ibus]\d*(?![a-z])|1?c(?![a-z])|r|p\d+|[a-zA-Z0-9]+)([^\\]*)")
_FACES = "ibus"


@dataclass(frozen=True)
class Span:
    """Text in one style. ``faces``: of "ibus", for italic, bold, underlined, struck; ``colour``: 0xRRGGBB."""

    text: str
    faces: frozenset[str] = frozenset()
    colour: int | None = None


@dataclass(frozen=True)
class Cue:
    """``align``: as on a numeric keypad, 2 is the usual place; ``plain``: no other styling was left out."""

    spans: tuple[Span, ...]
    align: int = 2
    plain: bool = True

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


USUAL = Cue((Span(""),))


class _Reading:
    """One event's text, read block by block."""

    def __init__(self, style: Cue, styles: dict[str, Cue]) -> None:
        self._styles, self._base = styles, style.spans[0]
        self._state, self._drawing = self._base, False
        self.align, self.plain = style.align, True
        self.spans: list[Span] = []

    def text(self, text: str) -> None:
        if self._drawing:
            self.plain = False
        else:
            self.spans.append(replace(self._state, text=_unescape(text)))

    def tag(self, name: str, value: str) -> None:
        kind, number = name.rstrip("0123456789"), name.lstrip("abinpsu")
        if kind == "an":
            self.align = int(number or 2)
        elif kind == "p":
            self._drawing = number not in ("", "0")
        elif kind == "r":
            self._state = self._styles.get(value.strip(), Cue((self._base,))).spans[0]
        elif len(kind) == 1 and kind in _FACES:
            faces = self._state.faces - {kind} if number in ("", "0") else self._state.faces | {kind}
            self._state = replace(self._state, faces=faces)
        elif name in ("c", "1c"):
            self._state = replace(self._state, colour=_colour(value))
        else:
            self.plain = False


def parse(event: str, styles: dict[str, Cue]) -> Cue:
    """A cue of an ASS event as FFmpeg's decoders give it: nine fields, the last one the text.

    Args:
        styles: by name: a cue whose first span, without a text, is what an event begins with.
    """
    fields = event.split(",", 8)
    reading = _Reading(styles.get(fields[2].lstrip("*"), USUAL), styles)
    for index, part in enumerate(_BLOCK.split(fields[-1])):
        if index % 2:
            for name, value in _TAG.findall(part):
                reading.tag(name, value)
        elif part:
            reading.text(part)
    return Cue(_joined(reading.spans), reading.align, reading.plain)


def _colour(value: str) -> int | None:
    """0xRRGGBB of ASS's &HAABBGGRR&; None where nothing is said."""
    digits = value.strip().strip("&").lstrip("Hh")
    try:
        bgr = int(digits, 16) & 0xFFFFFF
    except ValueError:
        return None
    return (bgr & 0xFF) << 16 | bgr & 0xFF00 | bgr >> 16


def _unescape(text: str) -> str:
    for written, meant in (("\\N", "\n"), ("\\n", " "), ("\\h", "\u00a0"), ("\r", ""), ("\\{", "{"), ("\\}", "}")):
        text = text.replace(written, meant)
    return text.replace("\\\u2060", "\\")  # how FFmpeg keeps a backslash from meaning anything


def _joined(spans: list[Span]) -> tuple[Span, ...]:
    """Neighbours of one style as one, without line breaks at the end."""
    joined: list[Span] = []
    for span in spans:
        if joined and replace(joined[-1], text=span.text) == span:
            span = replace(span, text=joined.pop().text + span.text)
        joined.append(span)
    while joined and not joined[-1].text.strip("\n"):
        joined.pop()
    if joined:
        joined[-1] = replace(joined[-1], text=joined[-1].text.rstrip("\n"))
    return tuple(joined)


def styles_of(header: bytes | None) -> dict[str, Cue]:
    """The styles of an ASS header, for `parse`: faces, place, and colour where it is not white."""
    styles: dict[str, Cue] = {}
    columns: list[str] = []
    for line in (header or b"").decode("utf-8", "replace").splitlines():
        kind, _, rest = line.partition(":")
        values = [value.strip() for value in rest.split(",")]
        if kind == "Format" and not columns:
            columns = values
        elif kind == "Style":
            style = dict(zip(columns, values, strict=False))
            styles[style.get("Name", "")] = _style(style)
    return styles


def _style(values: dict[str, str]) -> Cue:
    names = {"i": "Italic", "b": "Bold", "u": "Underline", "s": "StrikeOut"}
    faces = frozenset(face for face, name in names.items() if values.get(name, "0") not in ("0", ""))
    colour = _colour(values.get("PrimaryColour", ""))
    align = values.get("Alignment", "2")
    return Cue((Span("", faces, None if colour == 0xFFFFFF else colour),), int(align) if align.isdigit() else 2)


def _tagged(cue: Cue, escape: Callable[[str], str], colours: bool) -> str:
    parts = []
    for span in cue.spans:
        text = escape(span.text)
        for face in sorted(span.faces):
            text = f"<{face}>{text}</{face}>"
        if colours and span.colour is not None:
            text = f'<font color="#{span.colour:06x}">{text}</font>'
        parts.append(text)
    return re.sub(r"\n(?=\n)", "\n\u00a0", "".join(parts))  # an empty line would end the cue in a file of its own


def to_subrip(cue: Cue) -> bytes:
    text = _tagged(cue, str, colours=True)
    return (text if cue.align == 2 else f"{{\\an{cue.align}}}{text}").encode()


def to_webvtt(cue: Cue) -> bytes:
    without = replace(cue, spans=tuple(replace(span, faces=span.faces - {"s"}) for span in cue.spans))
    return _tagged(without, lambda text: html.escape(text, quote=False), colours=False).encode()


def to_timed_text(cue: Cue) -> bytes:
    """A sample of 3GPP timed text: the length, the text, and a box of styles counted in characters."""
    text = cue.text.encode()[:0xFFFF].decode(errors="ignore")
    sample = struct.pack(">H", len(text.encode())) + text.encode()
    records, start = [], 0
    for span in cue.spans:
        end = min(start + len(span.text), len(text))
        if span.faces & set("ibu") or span.colour is not None:
            flags = sum(bit for face, bit in (("b", 1), ("i", 2), ("u", 4)) if face in span.faces)
            colour = 0xFFFFFF if span.colour is None else span.colour
            records.append(struct.pack(">HHHBBI", start, end, 1, flags, 16, colour << 8 | 0xFF))
        start = end
    if records:
        body = struct.pack(">H", len(records)) + b"".join(records)
        sample += struct.pack(">I4s", 8 + len(body), b"styl") + body
    return sample


def keeps(codec: str, cue: Cue) -> bool:
    """Whether all styling of ``cue`` can be written in ``codec``."""
    faces = frozenset().union(*(span.faces for span in cue.spans))
    colours = any(span.colour is not None for span in cue.spans)
    if codec == "subrip":
        return cue.plain
    lost = cue.align != 2 or "s" in faces or (codec == "webvtt" and colours)
    return cue.plain and not lost


WRITERS: dict[str, Callable[[Cue], bytes]] = {
    "subrip": to_subrip,
    "webvtt": to_webvtt,
    "mov_text": to_timed_text,
}
