"""A setup of the scripts for a GPU, on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_setup import Setup, cpu_setup
from media import save_tiny

from vidstyle.catalog import parse_recipe


def tiny_setup(folder: Path, **changes: Any) -> Setup:
    """One tiny look in place of both networks."""
    recipe = parse_recipe(str(save_tiny(folder, "t")))
    setup = cpu_setup(nets={"ttn": recipe, "student": recipe}, seconds=0.01, clip=None, folder=folder)
    return replace(setup, **changes)
