"""What differs between two fingerprints of a job (`vidstyle.job.FileJob.fingerprint`), in the words of its options."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

from vidstyle.frame import AUTO, BEST, MOST
from vidstyle.source_options import SourceOptions

#: where a person gives a field of the options another name than its own
_NAMES = {"extra": "--encoder-option", "pix_fmt": "--pixel-format", "originals": "--compare"}
_STYLE = "the style"  # an entry: a digest, and shares
_SHOWN = (
    "vidstyle's version",
    "the steadying",
    "--fps",
    "the pictures' names",
)  # entries that are values themselves; others are digests
_UNSAID = "not given"


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Each entry that changed, as ``an option of writing changed (--crf was not given, is 30)``."""
    names = [name for name in {**now, **before} if now.get(name) != before.get(name)]
    told = [(name, _how(name, before.get(name), now.get(name))) for name in names]
    hows = [how for _, how in told]  # --compare is of reading and of writing
    return [f"{name} changed{how}" for at, (name, how) in enumerate(told) if not how or how not in hows[:at]]


def _how(name: str, before: Any, now: Any) -> str:
    if name in _SHOWN:
        return f" (was {_said(before)}, is {_said(now)})"
    with suppress(ValueError, TypeError, SyntaxError, RecursionError, AttributeError):  # a digest, or another version's
        if name == _STYLE:
            return _of_style(_shares(before), _shares(now))
        old, new = _options(before), _options(now)
        usual = {"--size": SourceOptions.size} if "--size" in {**old, **new} else {}
        old, new = usual | old, usual | new
        different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        told = [f"{key} was {_said(old.get(key))}, is {_said(new.get(key))}" for key in different]
        return f" ({'; '.join(told)})" if told else ""
    return ""


def _of_style(old: list[float], new: list[float]) -> str:
    """What can be told of two styles by their shares, which sum to the strength; of the styles there are digests."""
    strengths = [f"{sum(shares):.3g}" for shares in (old, new)]
    if strengths[0] != strengths[1]:
        return f" (--strength was {strengths[0]}, is {strengths[1]})"
    if len(old) == len(new) and old != new:
        mixes = [" ".join(f"{share:.3g}" for share in shares) for shares in (old, new)]
        return f" (the shares of its mix were {mixes[0]}, are {mixes[1]})"
    return ""


def _shares(text: str) -> list[float]:
    """
    Raises:
        ValueError, TypeError, SyntaxError, RecursionError: it has none.
    """
    return [float(share) for share in ast.literal_eval(text.partition(" ")[2])]


def _options(text: str) -> dict[str, Any]:
    """The options in an entry's text, by the names that people give them; those that are as usual are left out.

    Raises:
        ValueError, TypeError, SyntaxError, RecursionError: it has none.
    """
    fields = dict(_fields(ast.parse(text, mode="eval").body))
    if {"size", "by_faces"} & fields.keys():
        size = fields.get("size", SourceOptions.size)
        if fields.pop("by_faces", False):
            size = BEST if size == MOST else AUTO
        fields["size"] = "native" if size is None else size
    return {_NAMES.get(key, f"--{key}"): value for key, value in fields.items() if value or key == "size"}


def _fields(node: ast.expr) -> Iterator[tuple[str, Any]]:
    """Of a dictionary's text, or of a dataclass's: those of the dataclasses in it are among them."""
    if isinstance(node, ast.Call):
        pairs = [(keyword.arg or "", keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        pairs = [(str(ast.literal_eval(key)), value) for key, value in zip(node.keys, node.values, strict=True) if key]
    else:
        raise ValueError(ast.dump(node))
    for key, value in pairs:
        if not isinstance(value, ast.Call):
            yield key, ast.literal_eval(value)
        elif value.keywords:
            yield from _fields(value)
        else:
            yield key, Fraction(*map(ast.literal_eval, value.args))


def _said(value: Any) -> str:
    if value is None:
        return _UNSAID
    if isinstance(value, tuple):
        return " ".join("=".join(map(str, pair)) for pair in value)
    if isinstance(value, (float, Fraction)):
        return f"{float(value):.12g}"
    return "given" if value is True else str(value)
