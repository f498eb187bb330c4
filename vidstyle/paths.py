"""Where things live on this user's machine: one definition of each folder."""

from __future__ import annotations

import os
from pathlib import Path


def _home(kind: str = "") -> Path | None:
    home = os.environ.get("VIDSTYLE_HOME")
    return Path(home) / kind if home else None


def _system(kind: str) -> Path:
    """The system's own folder of a kind for us."""
    import platformdirs  # here, as a machine that trains from a pack may lack it, and asks for `bundled_dir` alone

    return Path(getattr(platformdirs, f"user_{kind}_dir")("vidstyle", False))


def cache_dir() -> Path:
    """What can be made or fetched again, safe to delete at any time. ``$VIDSTYLE_HOME/cache`` when that is set."""
    return _home("cache") or _system("cache")


def styles_dir() -> Path:
    """The user's own styles: imported, pulled, trained. ``$VIDSTYLE_HOME/styles`` when that is set."""
    return _home("styles") or _system("data") / "styles"


def state_dir() -> Path:
    """What is remembered from run to run. ``$VIDSTYLE_HOME/state`` when that is set."""
    return _home("state") or _system("state")


def bundled_dir() -> Path:
    """The styles that come with the package."""
    return Path(__file__).parent / "styles"


def config_file() -> Path:
    """The user's config.toml. ``$VIDSTYLE_HOME/config.toml`` when that is set."""
    return (_home() or _system("config")) / "config.toml"


def expanded(text: str) -> Path:
    """With ``~`` and ``~somebody`` as their homes; as it is where somebody has none here."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
