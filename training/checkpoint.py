"""A run's checkpoint: its step, and the state of every part, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from training.world import TrainingError
from vidstyle.whole import PARTS, whole


class Part(Protocol):
    """Whatever a checkpoint holds: modules, optimisers, and small states of our own."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def save(path: Path, step: int, parts: Mapping[str, Part]) -> None:
    """Write the checkpoint whole or not at all.

    Raises:
        TrainingError: it cannot be written, as on a full disk; the file that is there is kept.
    """
    for left in path.parent.glob(PARTS):  # by a run that was killed while it saved: they may be large
        left.unlink(missing_ok=True)
    try:
        with whole(path) as part:
            torch.save({"step": step, **{name: value.state_dict() for name, value in parts.items()}}, part)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        raise TrainingError(f"cannot write {path} ({_reason(error)}): {kept(path)}") from error


def load(path: Path, parts: Mapping[str, Part]) -> int:
    """Take every part's state from the checkpoint, each to its own device; give its step.

    Raises:
        TrainingError: the file is damaged, or of another run.
    """
    try:
        # To the CPU first: Adam counts its steps there, and on a GPU each count would be waited for in every step.
        state = torch.load(path, weights_only=True, map_location="cpu")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])
    except (TrainingError, MemoryError, torch.OutOfMemoryError):  # a part's own words; or the file may be fine
        raise
    except Exception as error:
        raise TrainingError(f"cannot go on from {path} ({_reason(error)}): delete it to begin anew") from error


def kept(path: Path) -> str:
    """What is left of a run that fails, for people."""
    return f"{path} is kept as it was" if path.exists() else "nothing was saved before"


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
