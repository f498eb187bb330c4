"""Options that FFmpeg passes on to an encoder unread: what the encoder would say of them, in one line, before any work.

Of a wrong word x264 writes to the terminal itself; of a wrong name in a list of options all encoders go on without it.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from vidstyle.errors import UsageError
from vidstyle.ffmpeg_log import listening
from vidstyle.priority import kept_priority

#: options that are lists of their own: what a user gives is added to ours
LISTS = ("x265-params", "svtav1-params", "x264-params")
PRESETS = "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow, placebo"  # of x264 and x265
_X264 = {
    "preset": PRESETS,
    "tune": "film, animation, grain, stillimage, psnr, ssim, fastdecode, zerolatency",
    "profile": "baseline, main, high, high10, high422, high444",
}
_TAKES_NOT = ("Error parsing option", "Unknown option", "Invalid value")  # how FFmpeg's wrappers warn of an entry


def check_words(encoder: str, given: dict[str, str]) -> None:
    """Refuse what ``encoder`` would not take of the options that a user gave.

    Raises:
        UsageError: a word that it does not know, or an entry of a list.
    """
    for name, value in given.items() if encoder == "libx264" else ():
        known = _X264.get(name, value).split(", ")
        words = re.split(r"[,./+-]", value) if name == "tune" else [value]
        if not all(word.lower() in known or (name == "preset" and word.isdigit()) for word in words):
            raise UsageError(f"the encoder option {name} is {value!r}: {encoder} takes {_X264[name]}")
    if lists := {name: value for name, value in given.items() if name in LISTS}:
        _check_lists(encoder, lists)


def _check_lists(encoder: str, lists: dict[str, str]) -> None:
    """By opening the encoder once; whether it opens with these pictures is told later."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = 256, 144, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
    context.options = {name: ":".join(filter(None, (quiet.get(name), value))) for name, value in lists.items()}
    os.environ.setdefault("SVT_LOG", "1")
    for _, said in log_of(context, av.logging.WARNING):
        if said.startswith(_TAKES_NOT):
            options = " ".join(f"{name}={value}" for name, value in lists.items())
            raise UsageError(f"{encoder} does not take all of {options} ({said}): correct it, or leave it out")


def log_of(context: Any, level: int) -> list[tuple[str, str]]:
    """(who, line) of FFmpeg's log up to ``level`` while an encoder is opened, whether it opens or not."""
    with listening(level) as heard, kept_priority(), suppress(ValueError, av.error.FFmpegError):
        context.open()
    return [(who, line.rstrip(".:")) for who, line in heard]
