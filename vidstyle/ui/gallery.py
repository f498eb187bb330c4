"""The looks as cards; more of them from files; fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidstyle.catalog import USER, FoundStyle, add_style, list_styles, remove_style

MOST = 64 << 20  # bytes of a style file or a published network; the largest is 6 MB


def cards() -> list[dict[str, Any]]:
    """Every look that a name reaches, and every one that is bad, JSON-ready."""
    return [_card(found) for found in list_styles() if not found.shadowed]


def _card(found: FoundStyle) -> dict[str, Any]:
    known = {"name": found.name, "own": found.origin == USER, "origin": found.origin, "error": found.error}
    if found.card is None:
        return known
    card = found.card.as_dict()
    cost = {"kflop": card["kflop_per_pixel"], "parameters": card["parameters"], "sha256": card["sha256"][:12]}
    return known | cost | {key: card[key] for key in ("look", "licence", "provenance")}


def take(path: Path, name: str | None) -> str:
    """Bring an uploaded style file or published network in; the look's name.

    Raises:
        StyleError: it is neither, or the name is taken.
    """
    card, _ = add_style(path, name or None)
    return card.name


def remove(name: str) -> None:
    """
    Raises:
        StyleError: it is not the user's own.
    """
    remove_style(name)
