"""Where things live on this user's machine: one definition of each folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def _home(kind: str, default: str) -> Path:
    home = os.environ.get("VIDSTYLE_HOME")
    return Path(home) / kind if home else Path(default)


def cache_dir() -> Path:
    """Compiled models; safe to delete at any time. ``$VIDSTYLE_HOME/cache`` when that is set."""
    return _home("cache", platformdirs.user_cache_dir("vidstyle", False))


def styles_dir() -> Path:
    """The user's own styles: imported, pulled, trained. ``$VIDSTYLE_HOME/styles`` when that is set."""
    return _home("styles", str(Path(platformdirs.user_data_dir("vidstyle", False)) / "styles"))


def state_dir() -> Path:
    """What is remembered from run to run. ``$VIDSTYLE_HOME/state`` when that is set."""
    return _home("state", platformdirs.user_state_dir("vidstyle", False))


def bundled_dir() -> Path:
    """The styles that come with the package."""
    return Path(__file__).parent / "styles"


def config_file() -> Path:
    """The user's config.toml. ``$VIDSTYLE_HOME/config.toml`` when that is set."""
    home = os.environ.get("VIDSTYLE_HOME")
    return Path(home or platformdirs.user_config_dir("vidstyle", False)) / "config.toml"


def expanded(text: str) -> Path:
    """With ``~`` and ``~somebody`` as their homes; as it is where somebody has none here."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
