"""What a typed path may become."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from vidstyle.paths import expanded

SUGGESTED = 12  # paths named while one is typed


def suggestions(text: str) -> list[str]:
    """Folders and videos of this machine that a typed path may become."""
    path = expanded(text) if text else Path.home()
    folder, start = (path, "") if text.endswith(("/", os.sep)) or not text else (path.parent, path.name)
    found: list[str] = []
    with suppress(OSError, ValueError):
        for one in sorted(folder.iterdir()):
            if one.name.lower().startswith(start.lower()) and not one.name.startswith("."):
                if one.is_dir():
                    found.append(f"{one}{os.sep}")
                elif one.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi"):
                    found.append(str(one))
            if len(found) >= SUGGESTED:
                break
    return found
