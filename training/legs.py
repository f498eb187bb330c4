"""A further leg of a bundled look: from its weights on, with the options that its kind of leg was found to need.

What each gives and takes is in training/README.md; part of the way (`share_of_this_run` in a card) often keeps more.
"""

from __future__ import annotations

from training.run import called
from vidstyle.errors import UsageError
from vidstyle.paths import bundled_dir
from vidstyle.style import Style, load_style

#: of every leg: all losses from the first steps on, the critic of faces a little later
COMMON = ("shift_from=-1.0", "closeups_from=0.0", "adversarial_from=0.2", "broad=4.0")
#: by name of the style; lines against steadiness, and more tinted pictures where a trace of the lamp stayed
OWN = {
    "anime": ("lr=1.2e-3", "contrast=22.0", "shift=18.0"),
    "3d": ("lr=1e-3", "contrast=23.0", "shift=20.0"),
    "artstyle": ("lr=1.1e-3", "contrast=24.0", "shift=44.0"),
    "design": ("lr=1.2e-3", "contrast=22.0", "shift=13.0"),
    "handdrawn": ("lr=1.2e-3", "contrast=22.0", "shift=18.0", "broad=5.0", "crops.coloured=0.5"),
    "illustration": ("lr=1.2e-3", "contrast=22.0", "shift=18.0"),
    "sketch": ("lr=1.2e-3", "contrast=30.0", "shift=48.0", "crops.coloured=0.8"),
    "anime-fast": ("lr=1.3e-3", "contrast=20.0", "shift=17.0"),
    "3d-fast": ("lr=1.3e-3", "contrast=16.0", "shift=8.0"),
    "artstyle-fast": ("lr=1.3e-3", "contrast=20.0", "shift=20.0"),
    "design-fast": ("lr=1.3e-3", "contrast=18.0", "shift=13.0", "crops.coloured=0.45"),
    "handdrawn-fast": ("lr=1.3e-3", "contrast=18.0", "shift=15.0", "broad=5.0", "crops.coloured=0.6"),
    "illustration-fast": ("lr=1.3e-3", "contrast=18.0", "shift=14.0"),
    "sketch-fast": ("lr=1.3e-3", "contrast=24.0", "shift=32.0", "crops.coloured=0.8"),
}


def options_of(look: str, shape: str) -> list[str]:
    """As `training.options.set_options` takes them.

    Raises:
        UsageError: no look of that name is bundled.
    """
    return [*COMMON, *OWN[_known(look, shape)]]


def start_of(look: str, shape: str) -> Style:
    """The bundled look itself. Raises as `options_of`."""
    return load_style(bundled_dir() / f"{_known(look, shape)}.safetensors")


def _known(look: str, shape: str) -> str:
    name = called(look, shape)
    if name not in OWN:
        raise UsageError(f"--leg goes on from a bundled look, {name!r} is none: name one of {', '.join(OWN)}")
    return name
